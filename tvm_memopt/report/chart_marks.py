"""Shared by both chart panels: fills, level lines and labels that fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

from tvm_memopt.report.colours import PALETTE, WORKSPACE, WORKSPACE_COLOUR
from tvm_memopt.report.timeline import Block, Timeline
from tvm_memopt.report.units import clip_text, short_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#222222"
EDGE = "#5a5a5a"


class Fill(TypedDict, total=False):
    """Fill style of a block, as matplotlib keyword arguments."""

    facecolor: str
    hatch: str


class _LineStyle(TypedDict, total=False):
    color: str
    linestyle: tuple[float, tuple[float, ...]]
    linewidth: float


_LINES: dict[str, _LineStyle] = {
    "given": {"color": INK, "linestyle": (0, (4, 2)), "linewidth": 0.8},
    "peak": {"color": "#b0482f", "linewidth": 1.0},
    "arena": {"color": "#1f5f9e", "linewidth": 1.2},
    "bound": {"color": "#1f7a55", "linestyle": (0, (1, 1.5)), "linewidth": 1.4},
    "budget": {"color": "#a8005c", "linestyle": (0, (7, 2, 1.5, 2)), "linewidth": 1.3},
}
_LABEL_POINTS = 19.0
Polygon = Sequence[tuple[float, float]]


def fill_of(block: Block) -> Fill:
    """Fill of a block: its palette colour. Workspaces are grey and hatched, repeats are hatched the other way."""
    if block.colour == WORKSPACE_COLOUR:
        return {"facecolor": WORKSPACE, "hatch": "/////"}
    fill: Fill = {"facecolor": PALETTE[block.colour]}
    if block.run:
        fill["hatch"] = "\\\\"
    return fill


def draw_blocks(
    axes: Axes, timeline: Timeline, shapes: Sequence[tuple[int, Polygon]], edge: float, *, vector: bool
) -> None:
    """Fill one polygon per (block, polygon). In a vector file they are rasterised unless ``vector`` is set."""
    from matplotlib.collections import PolyCollection

    by_hatch: dict[str | None, list[tuple[int, Polygon]]] = {}
    for block, polygon in shapes:
        by_hatch.setdefault(fill_of(timeline.blocks[block]).get("hatch"), []).append((block, polygon))
    for hatch, chosen in by_hatch.items():
        collection = PolyCollection(
            [polygon for _, polygon in chosen],
            facecolors=[fill_of(timeline.blocks[block])["facecolor"] for block, _ in chosen],
            edgecolors=EDGE,
            linewidths=edge,
            hatch=hatch,
            zorder=2,
        )
        collection.set_rasterized(not vector)
        axes.add_collection(collection)


def draw_levels(axes: Axes, levels: Sequence[tuple[int, str, str]]) -> None:
    """Draw horizontal lines at (bytes, name, line style), labelled on the right without overlap."""
    limit = axes.get_ylim()[1]
    merged: dict[int, list[tuple[str, str]]] = {}
    for value, name, style in sorted(levels, key=lambda level: level[0]):
        merged.setdefault(value, []).append((name, style))
        axes.axhline(value, zorder=4, **_LINES[style])
    height = axes.get_window_extent().height * 72 / axes.figure.dpi
    places = _spread([value / limit for value in merged], _LABEL_POINTS / height)
    for (value, lines), place in zip(merged.items(), places, strict=True):
        names = " = ".join(name for name, _ in lines)
        axes.annotate(
            f"{names}\n{short_bytes(value)}",
            xy=(1, value / limit),
            xytext=(1.012, place),
            xycoords="axes fraction",
            va="center",
            fontsize=7.5,
            color=_LINES[lines[-1][1]]["color"],
            annotation_clip=False,
            linespacing=1.05,
        )


def _spread(places: Sequence[float], gap: float) -> list[float]:
    """Push ascending ``places`` (fractions) apart to at least ``gap``; the highest stays near the top."""
    spread = list(places)
    for index in range(1, len(spread)):
        spread[index] = max(spread[index], spread[index - 1] + gap)
    for index in range(len(spread) - 1, -1, -1):
        ceiling = 1.0 if index == len(spread) - 1 else spread[index + 1] - gap
        spread[index] = min(spread[index], ceiling)
    return spread


def fitting_label(text: str, nbytes: int, width: float, height: float) -> tuple[str, float] | None:
    """(label, font size) for a box of ``width`` × ``height`` points, or None if no readable label fits."""
    size = min(8.5, height * 0.8)
    room = int((width - 3) / (max(size, 1) * 0.62))
    if size < 5.5 or room < min(len(text), 6):
        return None
    nbytes_text = short_bytes(nbytes)
    if len(text) + len(nbytes_text) + 3 <= room:
        return f"{text} · {nbytes_text}", size
    if height >= 2.4 * size and max(len(text), len(nbytes_text)) <= room:
        return f"{text}\n{nbytes_text}", size
    return clip_text(text, room), size

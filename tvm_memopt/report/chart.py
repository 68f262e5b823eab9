"""The plan as a PNG or SVG chart: live bytes above the address map, with a common step axis."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from tvm_memopt.atomic import atomic_path
from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import Graph, Plan
from tvm_memopt.report.chart_map import draw_map
from tvm_memopt.report.chart_marks import EDGE, INK, draw_levels, fill_of
from tvm_memopt.report.chart_stack import draw_stack
from tvm_memopt.report.summary import extra_compute, method
from tvm_memopt.report.timeline import Timeline, build_timeline
from tvm_memopt.report.units import byte_ticks, change, clip_text, percent, short_bytes, step_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

FORMATS = ("png", "svg")
_NAMED_STEPS = 24
_LEGEND_ENTRIES = 8
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica"],
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "tvm-memopt",
    "text.parse_math": False,
    "hatch.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a8a8a",
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.labelcolor": INK,
}


def write_chart(graph: Graph, plan: Plan, path: str | os.PathLike[str]) -> None:
    """Draw ``plan`` into a ``.png`` or ``.svg`` file, written atomically.

    Raises MemoptError for another extension or if matplotlib is missing, PlanError if the plan is not valid.
    """
    chart_format(path)
    write_timeline_chart(build_timeline(graph, plan), path)


def chart_format(path: str | os.PathLike[str]) -> str:
    """Return ``"png"`` or ``"svg"`` from the extension of ``path``. Raises MemoptError for any other."""
    extension = Path(path).suffix.lower().lstrip(".")
    if extension not in FORMATS:
        found = f"extension {extension!r}" if extension else "no extension"
        raise MemoptError(f"{os.fspath(path)}: charts are drawn as .png or .svg, found {found}; rename the output file")
    return extension


def write_timeline_chart(timeline: Timeline, path: str | os.PathLike[str]) -> None:
    """Like write_chart, for a plan that is already checked and laid out."""
    chart_format(path)
    matplotlib = load_matplotlib()
    with matplotlib.rc_context(STYLE):
        save_figure(_draw(timeline), path)


def save_figure(figure: Figure, path: str | os.PathLike[str], dpi: int = 160) -> None:
    """Write a matplotlib figure atomically, in the format of the extension. Equal figures give equal bytes."""
    kind = chart_format(path)
    with atomic_path(path) as temporary:
        metadata = {"Date": None} if kind == "svg" else {}
        figure.savefig(temporary, format=kind, dpi=dpi, metadata=metadata, facecolor="white")


def load_matplotlib() -> ModuleType:
    """Import matplotlib. Raises MemoptError if it is missing."""
    try:
        import matplotlib as module
    except ImportError:
        raise MemoptError("charts need matplotlib: pip install 'tvm-memopt[report]'") from None
    return module


def _draw(timeline: Timeline) -> Figure:
    from matplotlib.figure import Figure

    named = len(timeline.steps) <= _NAMED_STEPS
    figure = Figure(figsize=(10.5, 7.4))
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2, 3))
    figure.subplots_adjust(left=0.085, right=0.855, top=0.88, bottom=_bottom_margin(timeline, named), hspace=0.13)
    steps = max(1, len(timeline.steps))
    top.set_xlim(0, steps)
    limit = max([*timeline.live, *timeline.given_live, timeline.plan.budget_nbytes or 0, 1])
    _byte_axis(top, limit, "live bytes")
    _byte_axis(bottom, max(timeline.plan.arena_nbytes, timeline.plan.budget_nbytes or 0, 1), "address in the arena")
    draw_stack(top, timeline)
    draw_map(bottom, timeline)
    draw_levels(top, _stack_levels(timeline))
    draw_levels(bottom, _map_levels(timeline))
    _step_axis(bottom, timeline, named)
    _title(figure, timeline)
    _legend(figure, timeline)
    return figure


def _bottom_margin(timeline: Timeline, named: bool) -> float:
    """Fraction of the height for tick labels, axis name and legend. Rotated labels need more."""
    longest = max((min(len(step.name), 18) for step in timeline.steps), default=0) if named else 0
    rows = -(-min(len(timeline.holders), _LEGEND_ENTRIES) // 4)
    return (62 + 14 * rows + (longest + 6) * 2.7 * named) / (7.4 * 72)


def _byte_axis(axes: Axes, limit: int, label: str) -> None:
    ticks = byte_ticks(limit, 6)
    axes.set_ylim(0, limit * 1.06)
    axes.set_yticks([value for value, _ in ticks], [text for _, text in ticks])
    axes.set_ylabel(label)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.6, zorder=0)
    axes.set_axisbelow(True)


def _stack_levels(timeline: Timeline) -> list[tuple[int, str, str]]:
    levels = [(timeline.given_peak_nbytes, "peak before", "given"), (timeline.plan.peak_live_nbytes, "peak", "peak")]
    return levels + _budget_level(timeline)


def _map_levels(timeline: Timeline) -> list[tuple[int, str, str]]:
    levels = [(timeline.plan.arena_nbytes, "arena", "arena")]
    if timeline.plan.lower_bound_nbytes is not None:
        levels.append((timeline.plan.lower_bound_nbytes, "lower bound", "bound"))
    return levels + _budget_level(timeline)


def _budget_level(timeline: Timeline) -> list[tuple[int, str, str]]:
    budget = timeline.plan.budget_nbytes
    return [] if budget is None else [(budget, "budget", "budget")]


def _step_axis(axes: Axes, timeline: Timeline, named: bool) -> None:
    count = len(timeline.steps)
    if named and count:
        labels = [f"{s.index} {clip_text(s.name, 18)}{' (again)' if s.run else ''}" for s in timeline.steps]
        places = [s + 0.5 for s in range(count)]
        if count > 5:
            axes.set_xticks(places, labels, fontsize=8, rotation=35, ha="right", rotation_mode="anchor")
        else:
            axes.set_xticks(places, labels, fontsize=8)
        axes.tick_params(axis="x", length=0)
    elif count:
        ticks = step_ticks(0, count - 1, 12)
        axes.set_xticks([step + 0.5 for step in ticks], [str(step) for step in ticks])
    axes.set_xlabel("step")


def _title(figure: Figure, timeline: Timeline) -> None:
    plan, before = timeline.plan, timeline.given_peak_nbytes
    figure.text(0.085, 0.957, clip_text(plan.graph, 80), fontsize=13, fontweight="bold", color=INK)
    delta = change(before, plan.peak_live_nbytes)
    parts = [f"peak {short_bytes(before)} → {short_bytes(plan.peak_live_nbytes)}" + (f" ({delta})" if delta else "")]
    parts.append(f"arena {short_bytes(plan.arena_nbytes)}")
    if plan.lower_bound_nbytes is not None:
        parts.append(f"lower bound {short_bytes(plan.lower_bound_nbytes)}")
    if plan.cost > plan.base_cost:
        parts.append(f"extra compute {percent(extra_compute(timeline))}")
    parts.append(f"{plan.status} by {method(timeline)}")
    figure.text(0.085, 0.92, " · ".join(parts), fontsize=9.5, color="#4a4a4a")


def _legend(figure: Figure, timeline: Timeline) -> None:
    from matplotlib.patches import Patch

    entries: list[Patch] = []
    for holder in timeline.holders[:_LEGEND_ENTRIES]:
        block = timeline.blocks[holder.block]
        text = f"{clip_text(block.label, 22)}, {short_bytes(block.allocation.nbytes)}"
        entries.append(Patch(label=text, edgecolor=EDGE, linewidth=0.5, **fill_of(block)))
    hidden = len(timeline.holders) - _LEGEND_ENTRIES
    more = f" ({hidden} more not named)" if hidden > 0 else ""
    figure.legend(
        handles=entries,
        loc="lower left",
        bbox_to_anchor=(0.075, 0.005),
        ncols=4,
        frameon=False,
        fontsize=8,
        title=f"Line: live bytes in the given order. Filled: the largest buffers at the peak{more}",
        title_fontsize=8,
        alignment="left",
    )

"""Upper panel: live tensors stacked at each step, compared with the curve of the given order."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING

from tvm_memopt.report.chart_marks import INK, draw_blocks
from tvm_memopt.report.timeline import Band, Timeline
from tvm_memopt.report.units import clip_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PEAK = "#b0482f"
_EDGED_BLOCKS = 150
_VECTOR_BANDS = 3000
_DASHED_STEPS = 150


def draw_stack(axes: Axes, timeline: Timeline) -> None:
    """Stack the blocks, draw the given order's live bytes as a line, and mark the peak step."""
    shapes = [(block, _outline(bands)) for block, bands in groupby(timeline.bands, key=lambda band: band.block)]
    edge = 0.5 if len(shapes) <= _EDGED_BLOCKS else 0.0
    draw_blocks(axes, timeline, shapes, edge, vector=len(timeline.bands) <= _VECTOR_BANDS)
    if timeline.given_live:
        dashed = len(timeline.given_live) <= _DASHED_STEPS
        line = {"linestyle": (0, (4, 2)), "linewidth": 1.2} if dashed else {"linewidth": 0.6}
        edges = range(len(timeline.given_live) + 1)
        axes.stairs(timeline.given_live, edges, baseline=None, color=INK, zorder=5, **line)
    _mark_peak(axes, timeline)


def _outline(bands: Iterable[Band]) -> list[tuple[float, float]]:
    """One closed polygon around the bands of a block, which are contiguous in time."""
    lower: list[tuple[float, float]] = []
    upper: list[tuple[float, float]] = []
    for band in bands:
        for step in (band.first, band.last + 1):
            lower.append((step, band.bottom))
            upper.append((step, band.bottom + band.height))
    return lower + upper[::-1]


def _mark_peak(axes: Axes, timeline: Timeline) -> None:
    peak, count = timeline.peak_step, len(timeline.steps)
    if peak is None:
        return
    axes.axvspan(peak, peak + 1, facecolor=_PEAK, alpha=0.10, edgecolor="none", zorder=1)
    over = axes.get_xaxis_transform()
    axes.plot([peak + 0.5], [1.02], marker="v", markersize=5, color=_PEAK, transform=over, clip_on=False)
    side = 1 if peak < count / 2 else -1
    axes.annotate(
        f"peak at step {peak}: {clip_text(timeline.steps[peak].name, 40)}",
        xy=(peak + 0.5, 1.02),
        xytext=(6 * side, -3),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="left" if side > 0 else "right",
        fontsize=8,
        color=_PEAK,
        annotation_clip=False,
    )

"""Lower panel: the address map, with one rectangle per allocation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvm_memopt.graph import Allocation
from tvm_memopt.report.chart_marks import INK, draw_blocks, fitting_label
from tvm_memopt.report.timeline import Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_EDGED_BLOCKS = 400
_VECTOR_BLOCKS = 2500
_LABELS = 150


def draw_map(axes: Axes, timeline: Timeline) -> None:
    """Draw arena bytes against steps, with labels where they fit. Call this after the axis limits are set."""
    shapes = [(index, _corners(block.allocation)) for index, block in enumerate(timeline.blocks)]
    edge = 0.6 if len(shapes) <= _EDGED_BLOCKS else 0.1
    draw_blocks(axes, timeline, shapes, edge, vector=len(shapes) <= _VECTOR_BLOCKS)
    _label(axes, timeline)


def _corners(a: Allocation) -> list[tuple[float, float]]:
    left, right = a.first, a.last + 1
    return [(left, a.offset), (right, a.offset), (right, a.end), (left, a.end)]


def _label(axes: Axes, timeline: Timeline) -> None:
    box = axes.get_window_extent()
    points = 72 / axes.figure.dpi
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    across, up = box.width * points / (right - left), box.height * points / (high - low)
    covered = _covered_at_last(timeline)
    ranked = sorted(range(len(timeline.blocks)), key=lambda index: -timeline.blocks[index].area)
    for index in ranked[:_LABELS]:
        block = timeline.blocks[index]
        a = block.allocation
        steps = a.last - a.first + 1 - (index in covered)
        label = fitting_label(block.label, a.nbytes, steps * across, a.nbytes * up)
        if label is not None and block.kind != "workspace":
            middle = (a.first + steps / 2, a.offset + a.nbytes / 2)
            axes.text(*middle, label[0], fontsize=label[1], color=INK, ha="center", va="center", zorder=3, clip_on=True)


def _covered_at_last(timeline: Timeline) -> set[int]:
    """Blocks whose last step is covered by the block that reuses their bytes in place."""
    opening: dict[tuple[int, int], int] = {}
    for index, block in enumerate(timeline.blocks):
        if block.kind == "activation":
            opening[(block.allocation.first, block.allocation.offset)] = index
    ends = [((b.allocation.last, b.allocation.offset), i) for i, b in enumerate(timeline.blocks)]
    return {index for end, index in ends if opening.get(end, index) != index}

"""Pad a few rows at a time: nearly the speed of TVM's own loops with a fraction of their scratch memory.

A stage that only copies elements (such as padding before a convolution) is computed inside its reader's loop
over the padded rows, so that only the rows under the window exist at a time. The reader's loops over its
output are reordered. Each output element is still accumulated in the same order.
"""

from __future__ import annotations

import tvm
from tvm import s_tir, tirx

from tvm_memopt.passes.tir.inline import only_moves_data
from tvm_memopt.passes.tir.statements import variables_of

_REDUCTION = 2  # IterVar kind of a reduction axis


def buffer_rows(func: tirx.PrimFunc) -> tirx.PrimFunc | None:
    """Compute the copying stages of ``func`` row by row. None if no stage allows it."""
    if not isinstance(func.body, s_tir.SBlockRealize) or is_scheduled(func):
        return None
    schedule = s_tir.Schedule(tvm.IRModule({"main": func}))
    changed = False
    for block in schedule.get_child_blocks(schedule.get_sblock("root")):
        if not only_moves_data(schedule.get(block)):
            continue
        try:
            changed |= _move_into_reader(schedule, block)
        except s_tir.ScheduleError:
            continue
    return schedule.mod["main"] if changed else None


def is_scheduled(func: tirx.PrimFunc) -> bool:
    """Whether a schedule has changed the loops of a kernel."""
    return func.attrs is not None and bool(func.attrs.get("tirx.is_scheduled", False))


def _move_into_reader(schedule: s_tir.Schedule, block: object) -> bool:
    """Inline ``block`` into its reader if the reader only copies, else compute it at the reader's row loop."""
    readers = schedule.get_consumers(block)
    if len(readers) != 1:
        return False
    if only_moves_data(schedule.get(readers[0])):
        schedule.compute_inline(block)
        return False
    loops = schedule.get_loops(readers[0])
    written = schedule.get(block).writes[0].source
    position = _row_loop(schedule, readers[0], loops, written)
    if position is None:
        return False
    spatial = _spatial_loops(schedule, readers[0], loops)
    if position in spatial and position != spatial[0]:
        schedule.reorder(loops[position], *(loops[i] for i in spatial if i < position))
    schedule.compute_at(block, loops[position])
    return True


def _iteration(schedule: s_tir.Schedule, block: object, loops: list[object]) -> list[tuple[tirx.IterVar, int]] | None:
    """Each axis of ``block`` with the position of its loop, or None if they are not one to one."""
    axes = list(schedule.get(block).iter_vars)
    nests = [schedule.get(loop) for loop in loops]
    plain = all(nest.kind == tirx.ForKind.SERIAL and not nest.annotations for nest in nests)
    return list(zip(axes, range(len(axes)), strict=True)) if plain and len(axes) == len(nests) else None


def _row_loop(schedule: s_tir.Schedule, reader: object, loops: list[object], buffer: tvm.ir.Var) -> int | None:
    """The outermost loop that slides a window over ``buffer``: an index combines its variable with a reduction."""
    axes = _iteration(schedule, reader, loops)
    if axes is None:
        return None
    found: list[int] = []
    for region in schedule.get(reader).reads:
        if not region.source.same_as(buffer):
            continue
        for extent in region.region:
            used = variables_of(extent.min)
            sliding = [p for axis, p in axes if axis.iter_type != _REDUCTION and axis.var in used]
            reduces = any(axis.iter_type == _REDUCTION and axis.var in used for axis, _ in axes)
            if reduces and len(sliding) == 1 and int(schedule.get(loops[sliding[0]]).extent) > 1:
                found += sliding
    return min(found, default=None)


def _spatial_loops(schedule: s_tir.Schedule, reader: object, loops: list[object]) -> list[int]:
    axes = _iteration(schedule, reader, loops) or []
    return [position for axis, position in axes if axis.iter_type != _REDUCTION]

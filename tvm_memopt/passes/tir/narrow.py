"""Loops of kernels between narrow tensors: conversions at each read, and accumulators in registers.

TVM lowers a group of quantised calls stage by stage, with a float tensor between stages. Here the conversions are
folded into the loops that read them, and the reduction is computed for a few neighbouring elements of the result at a
time, so that neither the widened input nor the accumulators are tensors. Each element is computed by the same
operations in the same order.
"""

from __future__ import annotations

import tvm
import tvm_ffi
from tvm import s_tir, tirx

from tvm_memopt.passes.tir.rounding import added_products
from tvm_memopt.passes.tir.statements import variables_of

_REDUCTION = 2  # IterVar kind of a reduction axis
_NEIGHBOURS = (16, 8, 7, 6, 5, 4, 3, 2)
"""Elements whose accumulators stay in registers together. They share the conversions of what they all read."""


def fold_conversions(func: tirx.PrimFunc, *, fused: bool) -> tirx.PrimFunc | None:
    """``func`` with its stages folded into one loop nest, or None if they cannot be without changing a result.

    ``fused``: the target may multiply and add with one rounding, so that a product must not come to stand beside an
    addition where it did not before.
    """
    if not isinstance(func.body, s_tir.SBlockRealize):
        return None
    schedule = s_tir.Schedule(tvm.IRModule({"main": func}))
    try:
        if not _fold(schedule):
            return None
    except s_tir.ScheduleError:
        return None
    folded = schedule.mod["main"]
    return None if fused and added_products(folded.body) > added_products(func.body) else folded


def _fold(schedule: s_tir.Schedule) -> bool:
    blocks = _blocks(schedule)
    reductions = [block for block in blocks if _reduces(schedule, block)]
    if len(reductions) > 1:
        return False
    for block in blocks[:-1]:
        if not _reduces(schedule, block):
            schedule.compute_inline(block)
    if reductions and len(_blocks(schedule)) == 2:
        _accumulate_in_registers(schedule, reductions[0])
    return True


def _blocks(schedule: s_tir.Schedule) -> list[object]:
    return list(schedule.get_child_blocks(schedule.get_sblock("root")))


def _reduces(schedule: s_tir.Schedule, block: object) -> bool:
    return any(axis.iter_type == _REDUCTION for axis in schedule.get(block).iter_vars)


def _accumulate_in_registers(schedule: s_tir.Schedule, reduction: object) -> None:
    """Compute ``reduction`` for a few elements of the last stage at a time, with its window loops outside them."""
    loops = list(schedule.get_loops(_blocks(schedule)[-1]))
    extent = int(schedule.get(loops[-1]).extent)
    outer, _ = schedule.split(loops[-1], [None, next((n for n in _NEIGHBOURS if extent % n == 0), 1)])
    schedule.compute_at(reduction, outer)
    windows, neighbours = _loops_inside(schedule, reduction, len(loops))
    if windows and neighbours:
        schedule.reorder(*windows, *neighbours)
        schedule.decompose_reduction(reduction, windows[0])


def _loops_inside(schedule: s_tir.Schedule, reduction: object, outside: int) -> tuple[list[object], list[object]]:
    """The inner loops of ``reduction``: over its window, and over elements of the result."""
    values = _axis_values(schedule, reduction)
    windows, neighbours = list[object](), list[object]()
    for loop in list(schedule.get_loops(reduction))[outside:]:
        variable = schedule.get(loop).loop_var
        reduces = any(axis.iter_type == _REDUCTION and variable in variables_of(value) for axis, value in values)
        (windows if reduces else neighbours).append(loop)
    return windows, neighbours


def _axis_values(schedule: s_tir.Schedule, block: object) -> list[tuple[tirx.IterVar, tvm.ir.Expr]]:
    """Each axis of ``block`` with its value in terms of the loops."""
    node, found = schedule.get(block), list[s_tir.SBlockRealize]()

    def on_realize(realize: s_tir.SBlockRealize) -> None:
        if realize.block.same_as(node):
            found.append(realize)

    tvm_ffi.structural_walk(schedule.mod["main"].body, (s_tir.SBlockRealize, on_realize))
    return list(zip(node.iter_vars, found[0].iter_values, strict=True))

"""Fold pure data movement (padding, dilation, transposition) into the loops that read the result.

Only stages that copy elements are folded. No arithmetic changes, so every value stays the same bit for
bit. The reading loop gains an index test, so folding is used only where the memory is needed.
"""

from __future__ import annotations

import tvm
import tvm_ffi
from tvm import s_tir, tirx
from tvm.ir.expr import TensorLoad


def inline_data_movement(func: tirx.PrimFunc) -> tirx.PrimFunc | None:
    """Fold the copying stages of ``func``, which removes their scratch buffers. None if there are none to fold."""
    if not isinstance(func.body, s_tir.SBlockRealize):
        return None
    schedule = s_tir.Schedule(tvm.IRModule({"main": func}))
    changed = False
    for block in schedule.get_child_blocks(schedule.get_sblock("root")):
        if only_moves_data(schedule.get(block)):
            try:
                schedule.compute_inline(block)
                changed = True
            except s_tir.ScheduleError:
                continue
    return schedule.mod["main"] if changed else None


def only_moves_data(block: s_tir.SBlock) -> bool:
    """Whether ``block`` only stores copies of elements or constants."""
    body = block.body
    if not isinstance(body, tirx.BufferStore) or block.init is not None:
        return False
    return _is_copy(body.value)


def _is_copy(value: tvm.ir.Expr) -> bool:
    if isinstance(value, TensorLoad | tirx.FloatImm | tirx.IntImm):
        return True
    if isinstance(value, tirx.Select):
        return _is_test(value.condition) and _is_copy(value.true_value) and _is_copy(value.false_value)
    if isinstance(value, tvm.ir.Call) and getattr(value.op, "name", "").endswith("if_then_else"):
        return _is_test(value.args[0]) and _is_copy(value.args[1]) and _is_copy(value.args[2])
    return False


def _is_test(condition: tvm.ir.Expr) -> bool:
    """Whether ``condition`` depends only on indices."""
    loads: list[object] = []
    tvm_ffi.structural_walk(condition, (TensorLoad, loads.append))
    return not loads

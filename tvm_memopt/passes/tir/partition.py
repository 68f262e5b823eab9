"""Remove index tests from folded loops: split each loop into an interior without tests and a border.

Folding padding, dilation or transposition into the loops that read the result leaves an index test around each
element. TVM's LoopPartition splits a loop where a test marked as likely changes its value. Tests of a remainder
(the dilated input of a transposed convolution) become constants once the loop over the output is split by the
stride, and its inner part and the loop over the window are unrolled.

Each output element is accumulated in the same order as before, including terms that multiply a padded zero, since
the other factor may be infinite. Floating-point zeros are therefore hidden from TVM's simplifier, which drops
``0 * x``.
"""

from __future__ import annotations

import tvm
import tvm_ffi
from tvm import s_tir, tirx

_REDUCTION = 2  # IterVar kind of a reduction axis
MOST_COPIES = 64
"""Most copies of a loop body that unrolling may make."""


def partition_folds(func: tirx.PrimFunc) -> tirx.PrimFunc:
    """Prepare ``func``, whose loops have data movement folded in, so that LoopPartition can remove its index tests."""
    return _with_marked_choices(_with_residue_classes(func))


def tests_indices(func: tirx.PrimFunc) -> bool:
    """Whether ``func`` selects between an element and its padding by an index test."""
    return bool(_conditions(func.body))


def has_residues(func: tirx.PrimFunc) -> bool:
    """Whether a condition of ``func`` tests the remainder of an index, as a folded dilation does."""
    found: list[tirx.FloorMod] = []
    for condition in _conditions(func.body):
        tvm_ffi.structural_walk(condition, (tirx.FloorMod, found.append))
    return bool(found)


def _conditions(node: object) -> list[tvm.ir.Expr]:
    found: list[tvm.ir.Expr] = []

    def on_call(call: tvm.ir.Call) -> None:
        if _is_choice(call):
            found.append(call.args[0])

    tvm_ffi.structural_walk(node, (tvm.ir.Call, on_call))
    return found


def _is_choice(call: tvm.ir.Call) -> bool:
    return bool(getattr(call.op, "name", "").endswith("if_then_else"))


def _with_residue_classes(func: tirx.PrimFunc) -> tirx.PrimFunc:
    """Split loops by the divisors of tested remainders, and unroll them so that the tests become constants."""
    if not has_residues(func):
        return func
    schedule = s_tir.Schedule(tvm.IRModule({"main": func}))
    for block in schedule.get_child_blocks(schedule.get_sblock("root")):
        try:
            _split_by_residues(schedule, block)
        except s_tir.ScheduleError:
            continue
    return schedule.mod["main"]


def _split_by_residues(schedule: s_tir.Schedule, block: object) -> None:
    axes, loops = list(schedule.get(block).iter_vars), list(schedule.get_loops(block))
    divisors = _divisors(schedule.get(block).body)
    chosen = [(axis, loop) for axis, loop in zip(axes, loops, strict=False) if axis.var in divisors]
    if len(axes) != len(loops) or not chosen:
        return
    copies = 1
    for axis, loop in chosen:
        copies *= int(schedule.get(loop).extent) if axis.iter_type == _REDUCTION else divisors[axis.var]
    if copies > MOST_COPIES:
        return
    for axis, loop in chosen:
        inner = loop if axis.iter_type == _REDUCTION else schedule.split(loop, [None, divisors[axis.var]])[1]
        schedule.unroll(inner)


def _divisors(body: tirx.Stmt) -> dict[tvm.ir.Var, int]:
    """For each variable, the largest divisor of a remainder of it that a condition tests."""
    found: dict[tvm.ir.Var, int] = {}

    def on_remainder(remainder: tirx.FloorMod) -> None:
        if isinstance(remainder.b, tirx.IntImm):
            variables: set[tvm.ir.Var] = set()
            tvm_ffi.structural_walk(remainder.a, (tvm.ir.Var, variables.add))
            for variable in variables:
                found[variable] = max(found.get(variable, 1), int(remainder.b))

    for condition in _conditions(body):
        tvm_ffi.structural_walk(condition, (tirx.FloorMod, on_remainder))
    return found


def _with_marked_choices(func: tirx.PrimFunc) -> tirx.PrimFunc:
    def on_call(call: tvm.ir.Call) -> tvm.ir.Call:
        if not _is_choice(call):
            return call
        return tirx.if_then_else(_likely(call.args[0]), _opaque(call.args[1]), _opaque(call.args[2]))

    body = tvm_ffi.structural_map(func.body, (tvm.ir.Call, on_call))
    return tirx.PrimFunc(list(func.params), body, func.ret_type, func.attrs)  # type: ignore[call-overload]


def _opaque(value: tvm.ir.Expr) -> tvm.ir.Expr:
    """``value``, with a floating-point zero written as its own floor: the backend compiler folds it, TVM does not."""
    if not isinstance(value, tirx.FloatImm) or value.value != 0.0:
        return value
    dtype = str(value.ty.dtype)
    wide = dtype if dtype in ("float32", "float64") else "float32"  # TVM's C has no floor of narrower floats
    zero = tirx.call_intrin(wide, "tirx.floor", tirx.const(0.0, wide))
    return zero if wide == dtype else tirx.Cast(dtype, zero)


def _likely(condition: tvm.ir.Expr) -> tvm.ir.Expr:
    """Mark each conjunct of ``condition`` as likely separately, as LoopPartition expects."""
    if isinstance(condition, tirx.And):
        return tirx.And(_likely(condition.a), _likely(condition.b))
    return tirx.likely(condition)

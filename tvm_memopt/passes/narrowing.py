"""Decide whether a quantised model computes in integers, and whether its kernels are cut at narrow tensors.

Narrow kernels give the same results as TVM's. Without a budget they must not cost run time. With one, they are used
where TVM's own kernels do not fit. Integer arithmetic rounds otherwise, and is used where it is asked for or where the
target has no floating-point unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tvm

from tvm_memopt.errors import MemoptError
from tvm_memopt.passes.relax.form_choice import FREE
from tvm_memopt.passes.relax.integer.rewrite import integer_arithmetic
from tvm_memopt.passes.relax.lowering import passes_before_plan
from tvm_memopt.passes.relax.narrow.element_types import has_narrow_tensors, widens_halves
from tvm_memopt.passes.relax.narrow.lowering import narrow_price
from tvm_memopt.passes.relax.planning import PlanOptions
from tvm_memopt.passes.tir.rounding import fuses_multiply_add
from tvm_memopt.targets.fpu import has_fpu
from tvm_memopt.targets.host import runs_here

NARROW_MODES = ("auto", "always", "never")
# Seen on AArch64: the code generator contracted other sums in such kernels than in TVM's.
_HALVES_NOTE = (
    "kernels are not cut at half-precision tensors: this target multiplies and adds with one rounding, and their "
    "results could differ from those of TVM's kernels"
)
_UNKNOWN_NOTE = (
    "kernels are cut at narrow tensors; what that costs in time cannot be measured here (--wide keeps TVM's kernels)"
)


@dataclass(frozen=True)
class LoweredChoices:
    """Lowered forms of a module, to be planned in this order until one meets the budget.

    ``wide``: as TVM's own pipeline lowers it. ``notes``: what stays in floating point, why narrow kernels are not
    used, or that their time is unknown.
    """

    modules: Sequence[tvm.IRModule]
    wide: tvm.IRModule
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Source:
    """A module before lowering. ``integer``: its quantised operators compute in integers. ``notes``: which do not."""

    mod: tvm.IRModule
    integer: bool = False
    notes: Sequence[str] = ()


def with_arithmetic(mod: tvm.IRModule, target: tvm.target.Target, options: PlanOptions) -> Source:
    """``mod`` with the arithmetic that ``options`` ask for, or that suits ``target`` or the device."""
    wanted = options.integer
    if wanted is None:
        wanted = not has_fpu(target, options.device)
    if not wanted or not has_narrow_tensors(mod):
        return Source(mod)
    found = integer_arithmetic(mod)
    return Source(found.mod, True, [] if found.note is None else [found.note])


def lowered_choices(
    mod: tvm.IRModule,
    target: tvm.target.Target,
    options: PlanOptions | None = None,
) -> LoweredChoices:
    """Lower ``mod`` with and without narrow kernels, as ``options.narrow`` asks, one of NARROW_MODES.

    The budget and the plan of ``options`` decide which comes first.
    """
    options = options or PlanOptions()
    if options.narrow not in NARROW_MODES:
        raise MemoptError(f"narrow is {options.narrow!r}, expected one of {', '.join(NARROW_MODES)}")
    source = with_arithmetic(mod, target, options)
    original = _lowered(mod, target)
    wide = _lowered(source.mod, target) if source.integer else original
    if options.narrow == "never" or not has_narrow_tensors(mod):
        return LoweredChoices([wide], original, source.notes)
    if widens_halves(mod) and fuses_multiply_add(target) and not runs_here(target):
        return LoweredChoices([wide], original, [*source.notes, _HALVES_NOTE])
    cut = _lowered(source.mod, target, narrow=True, integer=source.integer)
    modules, note = _ordered(cut, wide, target, options)
    return LoweredChoices(modules, original, [*source.notes, *([] if note is None else [note])])


def _ordered(
    cut: tvm.IRModule, wide: tvm.IRModule, target: tvm.target.Target, options: PlanOptions
) -> tuple[list[tvm.IRModule], str | None]:
    """The modules to plan, first to last, and what a user should know of the choice."""
    if options.narrow == "always":
        return [cut], None
    if options.plan is not None:
        return [cut, wide], None
    price = narrow_price(cut, wide, target)
    if price is None:
        return [cut], None if options.budget is not None or runs_here(target) else _UNKNOWN_NOTE
    if price <= FREE:
        return [cut], None
    if options.budget is not None:
        return [wide, cut], None
    note = (
        f"kernels are not cut at narrow tensors: they would take {price:.2f} times as long (--narrow always cuts them)"
    )
    return [wide], note


def _lowered(
    mod: tvm.IRModule, target: tvm.target.Target, *, narrow: bool = False, integer: bool = False
) -> tvm.IRModule:
    with target:
        return tvm.transform.Sequential(passes_before_plan(target, narrow=narrow, integer=integer))(mod)

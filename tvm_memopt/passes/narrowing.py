"""Decide whether the kernels of a quantised model are cut at narrow tensors.

Narrow kernels give the same results as TVM's. Without a budget they must not cost run time. With one, they are used
where TVM's own kernels do not fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tvm

from tvm_memopt.errors import MemoptError
from tvm_memopt.passes.relax.form_choice import FREE
from tvm_memopt.passes.relax.lowering import passes_before_plan
from tvm_memopt.passes.relax.narrow.element_types import has_narrow_tensors
from tvm_memopt.passes.relax.narrow.lowering import narrow_price
from tvm_memopt.passes.relax.planning import PlanOptions

NARROW_MODES = ("auto", "always", "never")


@dataclass(frozen=True)
class LoweredChoices:
    """Lowered forms of a module, to be planned in this order until one meets the budget.

    ``wide``: as TVM's own pipeline lowers it. ``note``: why narrow kernels are not used.
    """

    modules: Sequence[tvm.IRModule]
    wide: tvm.IRModule
    note: str | None = None


def lowered_choices(
    mod: tvm.IRModule,
    target: tvm.target.Target,
    narrow: str = "auto",
    options: PlanOptions | None = None,
) -> LoweredChoices:
    """Lower ``mod`` with and without narrow kernels, as ``narrow`` asks, one of NARROW_MODES.

    ``options``: whose budget and plan decide.
    """
    if narrow not in NARROW_MODES:
        raise MemoptError(f"narrow is {narrow!r}, expected one of {', '.join(NARROW_MODES)}")
    wide = _lowered(mod, target, narrow=False)
    if narrow == "never" or not has_narrow_tensors(mod):
        return LoweredChoices([wide], wide)
    cut = _lowered(mod, target, narrow=True)
    if narrow == "always":
        return LoweredChoices([cut], wide)
    if options is not None and options.plan is not None:
        return LoweredChoices([cut, wide], wide)
    price = narrow_price(cut, wide, target)
    if price is None or price <= FREE:
        return LoweredChoices([cut], wide)
    if options is not None and options.budget is not None:
        return LoweredChoices([wide, cut], wide)
    note = (
        f"kernels are not cut at narrow tensors: they would take {price:.2f} times as long (--narrow always cuts them)"
    )
    return LoweredChoices([wide], wide, note)


def _lowered(mod: tvm.IRModule, target: tvm.target.Target, *, narrow: bool) -> tvm.IRModule:
    with target:
        return tvm.transform.Sequential(passes_before_plan(target, narrow=narrow))(mod)

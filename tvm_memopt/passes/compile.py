"""From a module to a planned one: lower, plan, emit."""

from __future__ import annotations

import json
from collections.abc import Iterable

import tvm

from tvm_memopt.errors import MemoptError
from tvm_memopt.passes.relax.lowering import passes_before_plan


def lower(mod: tvm.IRModule, target: str | tvm.target.Target) -> tuple[tvm.IRModule, tvm.target.Target]:
    """``mod`` after dispatch, fusion and lowering to kernels that write into allocated buffers."""
    chosen = make_target(target)
    with chosen:
        return tvm.transform.Sequential(passes_before_plan(chosen))(mod), chosen


def make_target(target: str | tvm.target.Target) -> tvm.target.Target:
    """A TVM target from its name or JSON. Raises MemoptError for one that TVM does not know."""
    if isinstance(target, tvm.target.Target):
        return target
    try:
        return tvm.target.Target(json.loads(target) if target.lstrip().startswith("{") else target)
    except Exception as error:
        raise MemoptError(
            f"target {target!r} is unknown to TVM ({_last_line(error)}): expected a name such as llvm, or JSON such as "
            '{"kind": "llvm", "mtriple": "aarch64-linux-gnu"}'
        ) from None


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1][:160] if str(error).strip() else type(error).__name__


def main_function(functions: Iterable[str]) -> str:
    """``main``, or the only function there is. Raises MemoptError when that is not clear."""
    names = list(functions)
    if "main" in names:
        return "main"
    if len(names) == 1:
        return names[0]
    if not names:
        raise MemoptError(
            "the module has no function that can be planned; optimize compiles it as TVM does and says why"
        )
    raise MemoptError(f"the module has no function 'main' to plan, but {', '.join(names)}: name one")

"""How measurements are called where instructions are counted instead of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tvm


def taken(seconds: float, target: tvm.target.Target) -> str:
    """``took 12.5 us``, or ``executed 12,500 instructions`` where these are what was counted."""
    from tvm_memopt.cost_model.measure.instructions import SECONDS_PER_INSTRUCTION
    from tvm_memopt.export.platforms import is_program_target

    if is_program_target(target):
        return f"executed {seconds / SECONDS_PER_INSTRUCTION:,.0f} instructions"
    return f"took {seconds * 1e6:.1f} us"

"""Targets whose code is right with Relay-era TVM."""

from __future__ import annotations

import os
import warnings
from typing import Any

import tvm

from tvm_memopt.errors import MemoptError
from tvm_memopt.targets import DeviceProfile

_ALIAS_ANALYSIS = "-enable-tbaa"


def default_target(cpu: str | None = None, triple: str | None = None) -> Any:
    """An LLVM target whose code is right with the hhb-tvm wheel.

    The wheel's code generator marks a vector load at a variable address as if its base were 0, so LLVM's type-based
    alias analysis may move it past the stores that feed it; it is turned off. A bare ``llvm`` means RISC-V there, so
    the triple is always given. ``cpu`` is ``x86-64-v2`` by default on x86-64: with AVX2 the wheel's aligned loads fail
    on memory that is aligned to 16 bytes only. ``triple``: by default this machine's.
    """
    machine = os.uname().machine
    triple = triple or f"{machine}-linux-gnu"
    cpu = cpu or ("x86-64-v2" if triple.startswith("x86_64") else None)
    text = f"llvm -mtriple={triple}" + (f" -mcpu={cpu}" if cpu else "") + f" -cl-opt={_ALIAS_ANALYSIS}:bool=false"
    return tvm.target.Target(text, host=text)


def device_target(device: DeviceProfile) -> Any:
    """The target of a device, with type-based alias analysis turned off. Raises MemoptError if TVM does not know it."""
    options = {**device.target, "cl-opt": [f"{_ALIAS_ANALYSIS}:bool=false"]}
    try:
        return tvm.target.Target(options, host=options)
    except (ValueError, tvm.TVMError) as error:
        last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise MemoptError(f"device {device.name}: its target is unknown to TVM: {last[:160]}") from None


def make_target(target: Any = None) -> Any:
    """A TVM target; None for default_target. Warns about a target whose code the hhb-tvm wheel may miscompile.

    Raises MemoptError if TVM does not know it.
    """
    if target is None:
        return default_target()
    try:
        made = target if isinstance(target, tvm.target.Target) else tvm.target.Target(target, host=target)
    except (ValueError, tvm.TVMError) as error:
        last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise MemoptError(f"target {target!r} is unknown to TVM: {last[:160]}") from None
    if may_miscompile(made):
        warnings.warn(
            f"target {made}: without -cl-opt={_ALIAS_ANALYSIS}:bool=false the code generator of the hhb-tvm wheel can "
            "compute wrong values in vector code, silently: add the option, or use mo.relay.default_target()",
            stacklevel=2,
        )
    return made


def may_miscompile(target: Any) -> bool:
    """Whether ``target`` is LLVM without the option that turns type-based alias analysis off."""
    return str(target.kind.name) == "llvm" and not assumes_no_aliases(target)


def assumes_no_aliases(target: Any) -> bool:
    """Whether code for ``target`` is right where two buffers of a kernel share memory.

    TVM tells LLVM through type-based alias analysis alone that buffers are apart, unless kernels take raw pointers.
    """
    options = [str(option) for option in target.attrs.get("cl-opt", ())]
    return str(target.kind.name) == "llvm" and f"{_ALIAS_ANALYSIS}:bool=false" in options

"""Whether a target has a floating-point unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tvm

    from tvm_memopt.targets.profile import DeviceProfile

# LLVM's feature that stands for floating-point instructions, by the start of the triple.
_FEATURES = {"thumb": "fpregs", "arm": "fpregs", "riscv": "f"}


def has_fpu(target: tvm.target.Target, device: DeviceProfile | None = None) -> bool:
    """Whether code for ``target``, or on ``device`` if it says so, computes floats by instructions.

    True where nothing is known, as for kind ``c``.
    """
    if device is not None and device.arithmetic is not None:
        return device.arithmetic.flops_per_cycle > 0
    triple = str(target.attrs.get("mtriple", None) or "")
    feature = next((name for start, name in _FEATURES.items() if triple.startswith(start)), None)
    if target.kind.name != "llvm" or feature is None or triple.startswith("arm64"):
        return True
    if str(target.attrs.get("mfloat-abi", None) or "") == "soft":
        return False
    from tvm.target import codegen

    return bool(codegen.target_has_features(feature, target))

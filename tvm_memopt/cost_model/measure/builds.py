"""Build modules as MetaSchedule does, but without importing the intrinsics of every target."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tvm


def host_target(cores: int | None = None) -> tvm.target.Target:
    """A target for this processor limited to AVX2, so that data from similar machines agree."""
    import tvm

    description: dict[str, str | int] = {"kind": "llvm", "num-cores": cores or os.cpu_count() or 1}
    if os.uname().machine in ("x86_64", "amd64"):
        description["mcpu"] = "x86-64-v3"
    return tvm.target.Target(description)


def with_packed_weights(mod: tvm.IRModule) -> tvm.IRModule:
    """For a schedule that packs a weight, take the packed weight as a parameter, so that packing is not timed."""
    from tvm.s_tir.transform import RemoveWeightLayoutRewriteBlock

    return RemoveWeightLayoutRewriteBlock(skip_tensor_rewrite=True)(mod)


def build(mod: tvm.IRModule, target: tvm.target.Target, _params: object = None) -> tvm.runtime.Module:
    """MetaSchedule's default build, without importing all intrinsics."""
    return build_packed(with_packed_weights(mod), target)


def build_packed(mod: tvm.IRModule, target: tvm.target.Target) -> tvm.runtime.Module:
    """The same build, applied to the result of with_packed_weights."""
    from tvm.driver import build as tvm_build

    return tvm_build(mod, target=target)

"""Which targets have a floating-point unit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tvm

from tvm_memopt.targets import Arithmetic, builtin_devices
from tvm_memopt.targets.fpu import has_fpu

THUMB = {"kind": "llvm", "mtriple": "thumbv7em-none-eabi", "mcpu": "cortex-m4"}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({"kind": "llvm"}, True),
        ({"kind": "c"}, True),
        (THUMB, True),
        ({**THUMB, "mfloat-abi": "soft"}, False),
        ({**THUMB, "mattr": ["-fpregs"]}, False),
        ({"kind": "llvm", "mtriple": "thumbv6m-none-eabi", "mcpu": "cortex-m0"}, False),
        ({"kind": "llvm", "mtriple": "aarch64-linux-gnu"}, True),
        ({"kind": "llvm", "mtriple": "arm64-apple-darwin"}, True),
        ({"kind": "llvm", "mtriple": "riscv32-unknown-elf", "mattr": ["+m"]}, False),
        ({"kind": "llvm", "mtriple": "riscv32-unknown-elf", "mattr": ["+m", "+f"]}, True),
    ],
)
def test_a_target_by_its_features(target: dict[str, object], expected: bool) -> None:
    assert has_fpu(tvm.target.Target(target)) is expected


def test_a_device_knows_better() -> None:
    device = builtin_devices()["cortex-m4"]
    target = tvm.target.Target(dict(device.target))
    assert has_fpu(target, device)
    assert not has_fpu(target, replace(device, arithmetic=Arithmetic(1e8, 0.0, 1.0)))


def test_the_built_in_devices_without_one_are_these() -> None:
    found = [d.name for d in builtin_devices().values() if not has_fpu(tvm.target.Target(dict(d.target)), d)]
    assert found == ["cortex-m3", "riscv32"]

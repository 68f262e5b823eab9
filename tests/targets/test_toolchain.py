"""Linkers by target: the compiler is found, or one line says which package has it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import tvm

from tvm_memopt.errors import MemoptError
from tvm_memopt.passes.compile import make_target
from tvm_memopt.targets import Compiler, builtin_devices, device_profile
from tvm_memopt.targets.toolchain import debian_triple, find_compiler, link_error, linker_for, with_float_abi

VFP = """Compilation error:
/usr/bin/arm-linux-gnueabihf-ld: error: x.so uses VFP register arguments, lib0.o does not
/usr/bin/arm-linux-gnueabihf-ld: failed to merge target specific data of file lib0.o
collect2: error: ld returned 1 exit status

Command line: arm-linux-gnueabihf-gcc -shared lib0.o"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch):
    """Make the only compilers on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def install(*names: str) -> None:
        for name in names:
            (tmp_path / name).write_text("#!/bin/sh\n")
            (tmp_path / name).chmod(0o755)

    return install


def _target(device: str) -> tvm.target.Target:
    return tvm.target.Target(dict(device_profile(device).target))


@pytest.mark.parametrize(
    ("triple", "debian"),
    [
        ("aarch64-linux-gnu", "aarch64-linux-gnu"),
        ("aarch64-unknown-linux-gnu", "aarch64-linux-gnu"),
        ("armv7a-linux-gnueabihf", "arm-linux-gnueabihf"),
        ("armv7-unknown-linux-gnueabihf", "arm-linux-gnueabihf"),
        ("arm-linux-gnueabi", "arm-linux-gnueabi"),
        ("riscv64-unknown-linux-gnu", "riscv64-linux-gnu"),
    ],
)
def test_debian_has_its_own_names_for_triples(triple: str, debian: str):
    assert debian_triple(triple) == debian


@pytest.mark.parametrize(
    ("triple", "compiler"),
    [
        ("aarch64-unknown-linux-gnu", "aarch64-linux-gnu-g++"),
        ("armv7a-linux-gnueabihf", "arm-linux-gnueabihf-gcc"),
        ("armv7-linux-gnueabihf", "arm-linux-gnueabihf-g++"),
        ("riscv64-linux-gnu", "riscv64-linux-gnu-gcc"),
        ("m68k-acme-linux-gnu", "m68k-acme-linux-gnu-g++"),
    ],
)
def test_the_compiler_of_a_triple_is_found(tools, triple: str, compiler: str):
    tools("g++", "gcc", compiler)
    assert find_compiler(triple) == compiler


@pytest.mark.parametrize(
    ("device", "package"),
    [
        ("cortex-a72", "install the Debian package g++-aarch64-linux-gnu"),
        ("cortex-a7", "install the Debian package g++-arm-linux-gnueabihf"),
        ("aarch64-phone", "install the Android NDK"),
        ("hexagon-v68", "install the Hexagon SDK"),
    ],
)
def test_a_missing_compiler_is_named_with_its_package(tools, device: str, package: str):
    with pytest.raises(MemoptError, match=r"no cross compiler for .* is installed: expected one of") as caught:
        linker_for(_target(device), device=device_profile(device))
    assert package in str(caught.value)
    assert "--cc" in str(caught.value)


def test_the_compilers_of_a_device_come_first(tools):
    tools("board-g++", "aarch64-linux-gnu-g++")
    assert find_compiler("aarch64-linux-gnu", [Compiler("board-g++", "its SDK")]) == "board-g++"


def test_this_machine_needs_no_cross_compiler(tools):
    assert linker_for(tvm.target.Target("llvm")) is None
    assert linker_for(tvm.target.Target({"kind": "llvm", "mtriple": f"{os.uname().machine}-linux-gnu"})) is None


@pytest.mark.parametrize("device", ["cortex-m3", "cortex-m4", "cortex-m7", "cortex-m55", "riscv32"])
def test_a_microcontroller_loads_no_shared_library(tools, device: str):
    tools("arm-none-eabi-gcc", "riscv64-unknown-elf-gcc")
    with pytest.raises(MemoptError, match="no operating system that could load a shared library: `tvm-memopt plan`"):
        linker_for(_target(device), device=device_profile(device))
    assert linker_for(_target(device), "arm-none-eabi-gcc") is not None


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("c", r"target c makes C source, .* for this machine, .*--device"),
        ("qcom/hexagon-v68", "kind hexagon needs a TVM built with Qualcomm's SDK.*--device hexagon-v68"),
    ],
)
def test_a_kind_that_makes_code_for_this_machine_is_explained(target: str, says: str):
    with pytest.raises(MemoptError, match=says):
        linker_for(tvm.target.Target(target))


def test_the_cause_of_a_failed_link_is_the_linkers_first_error():
    cause = link_error(RuntimeError(VFP))
    assert cause.startswith("x.so uses VFP register arguments, lib0.o does not (")
    assert '"mfloat-abi": "hard"' in cause
    assert link_error(RuntimeError("")) == "no reason given"
    assert link_error(RuntimeError("ld: cannot find -lx\nCommand line: g++")) == "ld: cannot find -lx"


@pytest.mark.parametrize(
    ("target", "abi"),
    [
        ({"kind": "llvm", "mtriple": "armv7a-linux-gnueabihf"}, "hard"),
        ({"kind": "llvm", "mtriple": "armv7a-linux-gnueabihf", "mfloat-abi": "soft"}, "soft"),
        ({"kind": "llvm", "mtriple": "arm-linux-gnueabi"}, None),
        ({"kind": "llvm", "mtriple": "aarch64-linux-gnu"}, None),
    ],
)
def test_floats_are_passed_as_the_triple_says(target: dict[str, str], abi: str | None):
    assert with_float_abi(target).get("mfloat-abi") == abi
    made = make_target(str(target).replace("'", '"'))
    assert (made.attrs.get("mfloat-abi") or None) == abi


@pytest.mark.parametrize("device", builtin_devices().values(), ids=lambda device: device.name)
def test_the_compilers_of_the_devices_that_are_here_start(device):
    here = [one.command for one in device.compilers if shutil.which(one.command)]
    if not here:
        pytest.skip(f"no compiler for {device.name} is installed")
    for command in here:
        assert os.spawnlp(os.P_WAIT, command, command, "--version") == 0

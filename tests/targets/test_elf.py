"""The architecture of a module, from the first bytes of its file."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

import pytest

from tvm_memopt.errors import MemoptError
from tvm_memopt.targets.elf import architecture, require_native


def elf(path: Path, machine: int, *, bits: int = 64, order: str = "<") -> Path:
    """The first bytes of an ELF file."""
    head = b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1]) + bytes(9)
    path.write_bytes(head + struct.pack(f"{order}HH", 3, machine) + bytes(44))
    return path


@pytest.mark.parametrize(
    ("machine", "bits", "order", "name"),
    [
        (62, 64, "<", "x86-64"),
        (183, 64, "<", "AArch64"),
        (40, 32, "<", "ARM (32 bit)"),
        (164, 32, "<", "Hexagon"),
        (243, 32, "<", "RISC-V (32 bit)"),
        (243, 64, "<", "RISC-V (64 bit)"),
        (22, 64, ">", "s390x"),
        (9999, 64, "<", "ELF machine 9999"),
    ],
)
def test_the_header_names_the_architecture(tmp_path: Path, machine: int, bits: int, order: str, name: str):
    assert architecture(elf(tmp_path / "m.so", machine, bits=bits, order=order)) == name


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"not a library at all, but long enough"])
def test_what_is_no_elf_file_has_none(tmp_path: Path, content: bytes):
    path = tmp_path / "m.so"
    path.write_bytes(content)
    assert architecture(path) is None
    require_native(path)  # the loader says what is wrong with it


def test_code_for_another_architecture_is_named_with_the_way_to_run_it(tmp_path: Path):
    foreign, name = (62, "x86-64") if os.uname().machine != "x86_64" else (183, "AArch64")
    with pytest.raises(MemoptError, match=rf"m\.so: has code for {name}, and this machine is .*tvm-memopt run --rpc"):
        require_native(elf(tmp_path / "m.so", foreign))


def test_python_itself_is_native():
    require_native(Path(sys.executable).resolve())

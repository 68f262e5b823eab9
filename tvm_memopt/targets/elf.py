"""The machine that a shared library is for."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from tvm_memopt.errors import MemoptError

# e_machine of the ELF header, by the names that uname and LLVM's triples use.
_MACHINES = {3: "i686", 40: "arm", 62: "x86_64", 164: "hexagon", 183: "aarch64", 243: "riscv"}


def machine_of(path: str | os.PathLike[str]) -> str:
    """The machine of an ELF file, such as "aarch64". Raises MemoptError if it is not an ELF file."""
    with Path(path).open("rb") as file:
        header = file.read(20)
    if len(header) < 20 or not header.startswith(b"\x7fELF"):
        raise MemoptError(f"{os.fspath(path)}: is not a shared library of Linux (ELF)")
    order = "<" if header[5] == 1 else ">"
    number = struct.unpack_from(f"{order}H", header, 18)[0]
    name = _MACHINES.get(number, f"ELF machine {number}")
    return f"{name}{64 if header[4] == 2 else 32}" if name == "riscv" else name

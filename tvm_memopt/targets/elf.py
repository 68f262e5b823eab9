"""The architecture of a compiled module, from the header of its ELF file."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from tvm_memopt.errors import MemoptError

# e_machine of the ELF specification and its processor supplements.
_MACHINES = {
    3: "x86 (32 bit)", 8: "MIPS", 20: "PowerPC", 21: "PowerPC64", 22: "s390x", 40: "ARM (32 bit)", 62: "x86-64",
    164: "Hexagon", 183: "AArch64", 243: "RISC-V", 258: "LoongArch",
}  # fmt: skip
_THIS = {
    "x86_64": "x86-64", "i686": "x86 (32 bit)", "aarch64": "AArch64", "armv7l": "ARM (32 bit)",
    "riscv64": "RISC-V (64 bit)", "ppc64le": "PowerPC64", "s390x": "s390x", "loongarch64": "LoongArch",
}  # fmt: skip


def architecture(path: str | os.PathLike[str]) -> str | None:
    """The architecture that an ELF file has code for, such as ``"AArch64"``. None if it is no ELF file."""
    with Path(path).open("rb") as file:
        header = file.read(20)
    if len(header) < 20 or header[:4] != b"\x7fELF" or header[4] not in (1, 2) or header[5] not in (1, 2):
        return None
    (machine,) = struct.unpack(("<" if header[5] == 1 else ">") + "H", header[18:20])
    name = _MACHINES.get(machine, f"ELF machine {machine}")
    return f"{name} ({32 * header[4]} bit)" if name == "RISC-V" else name


def require_native(path: str | os.PathLike[str]) -> None:
    """Raise MemoptError if a compiled module has code for another architecture than this machine's."""
    found, here = architecture(path), _THIS.get(os.uname().machine)
    if found is not None and here is not None and found != here:
        raise MemoptError(
            f"{os.fspath(path)}: has code for {found}, and this machine is {here}: run it on a device, with "
            "`tvm-memopt run --rpc HOST:PORT`, or `--tracker HOST:PORT --key KEY`"
        )

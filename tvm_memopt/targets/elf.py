"""The architecture and the sections of a compiled module or program, from its ELF file."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from tvm_memopt.errors import MemoptError

# e_machine of the ELF specification and its processor supplements: the name that uname and LLVM's triples use, and the
# usual one.
_MACHINES = {
    3: ("i686", "x86 (32 bit)"), 8: ("mips", "MIPS"), 20: ("ppc", "PowerPC"), 21: ("ppc64le", "PowerPC64"),
    22: ("s390x", "s390x"), 40: ("arm", "ARM (32 bit)"), 62: ("x86_64", "x86-64"), 164: ("hexagon", "Hexagon"),
    183: ("aarch64", "AArch64"), 243: ("riscv", "RISC-V"), 258: ("loongarch64", "LoongArch"),
}  # fmt: skip
_BITS = {1: 32, 2: 64}


def machine_of(path: str | os.PathLike[str]) -> str:
    """The machine of an ELF file as uname names it, such as "aarch64". Raises MemoptError if it is not an ELF file."""
    found = _header(path)
    if found is None:
        raise MemoptError(f"{os.fspath(path)}: is not a shared library of Linux (ELF)")
    number, bits = found
    name = _MACHINES.get(number, (f"ELF machine {number}", ""))[0]
    return f"{name}{bits}" if name == "riscv" else name


def architecture(path: str | os.PathLike[str]) -> str | None:
    """The architecture that an ELF file has code for, such as ``"AArch64"``. None if it is no ELF file."""
    found = _header(path)
    if found is None:
        return None
    number, bits = found
    name = _MACHINES.get(number, ("", f"ELF machine {number}"))[1]
    return f"{name} ({bits} bit)" if name == "RISC-V" else name


def require_native(path: str | os.PathLike[str]) -> None:
    """Raise MemoptError if a compiled module has code for another architecture than this machine's."""
    if _header(path) is None:
        return
    here = os.uname().machine
    if machine_of(path) != ("arm" if here.startswith("armv") else here):
        raise MemoptError(
            f"{os.fspath(path)}: has code for {architecture(path)}, and this machine is {here}: run it on a device, "
            "with `tvm-memopt run --rpc HOST:PORT`, or `--tracker HOST:PORT --key KEY`"
        )


def section(path: str | os.PathLike[str], name: str) -> bytes | None:
    """The content of a section of an ELF file, or None if the file is no ELF file or has no such section."""
    content = Path(path).read_bytes()
    if _header(path) is None:
        return None
    order, wide = "<" if content[5] == 1 else ">", content[4] == 2
    (table,) = struct.unpack_from(order + ("Q" if wide else "I"), content, 40 if wide else 32)
    entry, count, names = struct.unpack_from(order + "HHH", content, 58 if wide else 46)
    layout = order + ("IIQQQQIIQQ" if wide else "IIIIIIIIII")
    rows = [struct.unpack_from(layout, content, table + i * entry) for i in range(count)]
    for label, _, _, _, offset, nbytes, *_ in rows:
        start = rows[names][4] + label
        if content[start : content.index(b"\0", start)] == name.encode():
            return content[offset : offset + nbytes]
    return None


def _header(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """e_machine and the bits of an address, or None if the file is no ELF file."""
    with Path(path).open("rb") as file:
        header = file.read(20)
    if len(header) < 20 or header[:4] != b"\x7fELF" or header[4] not in _BITS or header[5] not in (1, 2):
        return None
    (machine,) = struct.unpack(("<" if header[5] == 1 else ">") + "H", header[18:20])
    return machine, _BITS[header[4]]

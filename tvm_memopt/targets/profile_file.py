"""Read a device profile from a TOML file."""

from __future__ import annotations

import os
from pathlib import Path

from tvm_memopt.targets.profile import Arithmetic, Compiler, DeviceProfile, Memory, Rates
from tvm_memopt.toml_file import Table, read_toml

_SCALARS = (str, int, float, bool)


def read_profile(path: Path) -> DeviceProfile:
    """The profile in ``path``. Raises MemoptError with one line that names the file, the key and what was expected.

    Without ``target.mtriple`` the device is this machine, whose memory and cores are the defaults.
    """
    table = Table(path, read_toml(path))
    target = _target(table.table("target"))
    here = "mtriple" not in target
    profile = DeviceProfile(
        name=table.text("name"),
        description=table.text("description"),
        target=target,
        ram_nbytes=_machine_memory() if here and not table.has("ram") else table.nbytes("ram"),
        cores=table.count("cores", default=os.cpu_count() or 1 if here else None),
        rates=_rates(table.table("sustained")),
        flash_nbytes=table.nbytes("flash") if table.has("flash") else None,
        memories=tuple(map(_memory, table.tables("memories"))),
        arithmetic=_arithmetic(table.table("arithmetic")) if table.has("arithmetic") else None,
        compilers=tuple(map(_compiler, table.tables("compilers"))),
        sources=table.texts("sources"),
        aliases=table.texts("aliases"),
    )
    table.finish()
    return profile


def _target(table: Table) -> dict[str, object]:
    """The target's own keys: TVM checks them when the target is made."""
    table.text("kind")
    for key, value in table.values.items():
        whole = isinstance(value, list) and all(isinstance(one, _SCALARS) for one in value)
        if not whole and not isinstance(value, _SCALARS):
            raise table.fail(key, "a string, a number, true, false or a list of those")
    return dict(table.values)


def _rates(table: Table) -> Rates:
    rates = Rates(table.positive("flops-per-second"), table.positive("bytes-per-second"), table.number("call-seconds"))
    table.finish()
    return rates


def _memory(table: Table) -> Memory:
    memory = Memory(
        table.text("name"),
        table.nbytes("size"),
        table.count("alignment", default=1),
        table.positive("bytes-per-second"),
        table.flag("software-managed", default=False),
    )
    table.finish()
    return memory


def _arithmetic(table: Table) -> Arithmetic:
    arithmetic = Arithmetic(
        table.positive("clock-hz"), table.number("flops-per-cycle"), table.number("int8-ops-per-cycle")
    )
    table.finish()
    return arithmetic


def _compiler(table: Table) -> Compiler:
    compiler = Compiler(table.text("command"), table.text("package"))
    table.finish()
    return compiler


def _machine_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

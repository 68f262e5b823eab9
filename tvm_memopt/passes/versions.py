"""Which TVM is installed: Relax and its passes need 0.20 or later, Relay an earlier one."""

from __future__ import annotations

import importlib.util
from importlib.metadata import PackageNotFoundError, version

from tvm_memopt.errors import MemoptError

_RELAX_WHEEL = "apache-tvm"
_RELAY_WHEEL = "hhb-tvm"


def has_relay() -> bool:
    """Whether the installed TVM has Relay."""
    return _finds("tvm.relay")


def has_relax() -> bool:
    """Whether the installed TVM has Relax and the TIR of TVM 0.20 or later."""
    return _finds("tvm.relax") and _finds("tvm.tirx")


def _finds(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def require_relay() -> None:
    """Raise MemoptError if the installed TVM has no Relay, or if two TVMs are installed over each other."""
    require_one_tvm()
    if not has_relay():
        raise MemoptError(f"Relay is missing: {_found()}, expected TVM 0.19 or earlier: {_advice()}")


def require_relax() -> None:
    """Raise MemoptError if the installed TVM has no Relax, or if two TVMs are installed over each other."""
    require_one_tvm()
    if not has_relax():
        raise MemoptError(
            f"Relax is missing: {_found()}, expected apache-tvm 0.27 or later: pip install 'tvm-memopt[tvm]' in an "
            "environment of its own, or use tvm_memopt.relay here"
        )


def require_one_tvm() -> None:
    """Raise MemoptError if both wheels are installed: they overwrite each other's files."""
    versions = {name: found for name in (_RELAX_WHEEL, _RELAY_WHEEL) if (found := _version(name))}
    if len(versions) > 1:
        both = " and ".join(f"{name} {found}" for name, found in versions.items())
        raise MemoptError(
            f"{both} are installed in one environment and overwrite each other's package tvm: make a new environment "
            "for each of the two"
        )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _found() -> str:
    if not _finds("tvm"):
        return "no TVM is installed"
    installed = [f"{name} {found}" for name in (_RELAX_WHEEL, _RELAY_WHEEL) if (found := _version(name))]
    return f"{installed[0]} is installed" if installed else "another TVM is installed"


def _advice() -> str:
    return "`make test-relay` shows an environment with one"

"""Which TVM is installed: Relax and its passes need 0.20 or later, Relay an earlier one."""

from __future__ import annotations

import importlib.util
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tvm_memopt.errors import MemoptError

_RELAX_WHEEL = "apache-tvm"
_RELAY_WHEEL = "hhb-tvm"


def has_relay() -> bool:
    """Whether the installed TVM has Relay."""
    return _has("relay")


def has_relax() -> bool:
    """Whether the installed TVM has Relax and the TIR of TVM 0.20 or later."""
    return _has("relax") and _has("tirx")


def _has(package: str) -> bool:
    """Whether the installed TVM has a subpackage. Found by its folder, without importing TVM."""
    return any(Path(folder, package).is_dir() for folder in _tvm_folders())


def _tvm_folders() -> list[str]:
    try:
        spec = importlib.util.find_spec("tvm")
    except (ImportError, ValueError):
        return []
    return [] if spec is None else list(spec.submodule_search_locations or ())


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
            f"environment of its own{_or_relay()}"
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
    if not _tvm_folders():
        return "no TVM is installed"
    installed = [f"{name} {found}" for name in (_RELAX_WHEEL, _RELAY_WHEEL) if (found := _version(name))]
    return f"{installed[0]} is installed" if installed else "another TVM is installed"


def _or_relay() -> str:
    return ", or use Relay here: --frontend relay, tvm_memopt.relay" if has_relay() else ""


def _advice() -> str:
    return "`make test-relay` shows an environment with one"

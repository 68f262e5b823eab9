"""The cache folder for fetched and generated model files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tvm_memopt.atomic import atomic_path


def folder() -> Path:
    """``$TVM_MEMOPT_ZOO``, else ``tvm-memopt/zoo`` in the user's cache folder."""
    override = os.environ.get("TVM_MEMOPT_ZOO")
    if override:
        return Path(override)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tvm-memopt" / "zoo"


def built(name: str, write: Callable[[Path], None]) -> Path:
    """The cached file ``name``, made by ``write(path)`` when it is not there yet; appears whole or not at all."""
    path = folder() / "built" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            write(temporary)
    return path

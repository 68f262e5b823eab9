"""The user's cache folder."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory() -> Path:
    """The cache folder: ``$XDG_CACHE_HOME/tvm-memopt``, or ``~/.cache/tvm-memopt``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tvm-memopt"

"""Restrict TVM's tensor intrinsics to those of x86.

The first TuneContext imports the intrinsics of every GPU, ARM and Hexagon target, which takes most of a minute. That
exceeds the time limit of MetaSchedule's own build workers.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_INTRINSICS = "tvm.s_tir.tensor_intrin"


@contextmanager
def cpu_intrinsics() -> Iterator[None]:
    """A context in which TVM's package of intrinsics holds only those of x86.

    Use it in the thread that creates a TuneContext. It has no effect if the whole package is already imported.
    """
    if _INTRINSICS in sys.modules:
        yield
        return
    import tvm.s_tir

    package = types.ModuleType(_INTRINSICS)
    package.__path__ = [str(Path(tvm.s_tir.__file__).parent / "tensor_intrin")]
    sys.modules[_INTRINSICS] = tvm.s_tir.tensor_intrin = package
    try:
        __import__(f"{_INTRINSICS}.x86")
        yield
    finally:
        del sys.modules[_INTRINSICS], tvm.s_tir.tensor_intrin

"""TVM's tensor intrinsics, those of x86 alone.

Each TuneContext imports the intrinsics of every GPU, ARM and Hexagon target, for most of a minute the first time:
longer than the time limit of MetaSchedule's own build workers.
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
    """Inside, TVM's package of intrinsics holds those of x86; outside it is as it was.

    For the thread that makes a TuneContext; nothing changes where the whole package was imported before.
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

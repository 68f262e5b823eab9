"""The C++ walk over scheduled TIR: one shared library, loaded once.

It reads TVM objects by field name through tvm-ffi, so it needs no TVM headers. Programs of the Relay-era TVM it reads
from their JSON, so that it needs no TVM at all.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tvm_memopt.errors import MemoptError

if TYPE_CHECKING:
    import tvm_ffi

LIBRARY = Path(__file__).parent / "libmemopt_features.so"


@cache
def library() -> tvm_ffi.Module:
    """The loaded library. If it is missing, raises MemoptError that says how to build it."""
    if not LIBRARY.exists():
        raise MemoptError(f"{LIBRARY}: is not built: install g++ 11 or later, then install the package again")
    import tvm_ffi

    return tvm_ffi.load_module(str(LIBRARY))

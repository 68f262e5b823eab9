"""The inner loops in C++: one shared library, loaded once and called with arrays.

The library is built when the package is installed. Tests compare its functions with reference versions in Python.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tvm_memopt.errors import MemoptError
from tvm_memopt.solvers.interrupts import noted_interrupts

LIBRARY = Path(__file__).parent / "libmemopt_native.so"
_T = TypeVar("_T")
_POLL_SECONDS = 0.05


@cache
def library() -> Any:
    """Return the loaded library. Raises MemoptError, with build instructions, if it is missing."""
    if not LIBRARY.exists():
        raise MemoptError(f"{LIBRARY}: is not built: install g++ 11 or later, then install the package again")
    import tvm_ffi

    return tvm_ffi.load_module(str(LIBRARY))


def held_bytes(first: np.ndarray, last: np.ndarray, nbytes: np.ndarray, steps: int) -> np.ndarray:
    """Live bytes at each of ``steps`` steps, for buffers live from ``first`` to ``last`` inclusive; int64 vectors."""
    held = np.zeros(steps, np.int64)
    library().held_bytes(vector(first), vector(last), vector(nbytes), held)
    return held


def vector(values: Any) -> np.ndarray:
    """``values`` as a writable contiguous int64 vector, which is what the library takes."""
    return np.require(values, np.int64, ["C", "W"])


def call_interruptibly(call: Callable[[np.ndarray], _T]) -> tuple[_T, bool]:
    """Run ``call(flag)`` in a thread. Ctrl-C sets ``flag[0]``, upon which native searches return their best.

    Returns the result of the call, and whether Ctrl-C was pressed.
    """
    flag = np.zeros(1, np.int32)
    outcome: list[_T] = []
    failure: list[BaseException] = []
    done = threading.Event()

    def work() -> None:
        try:
            outcome.append(call(flag))
        except BaseException as error:
            failure.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=work, daemon=True)
    with noted_interrupts(lambda: flag.__setitem__(0, 1)) as pressed:
        thread.start()
        while not done.wait(_POLL_SECONDS):
            pass
    if failure:
        raise failure[0]
    return outcome[0], bool(pressed)

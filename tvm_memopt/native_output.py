"""Suppression of output that native code prints without going through Python."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def native_stderr_discarded() -> Iterator[None]:
    """Discard everything written to file descriptor 2, to suppress TVM's messages."""
    try:
        saved = os.dup(2)
    except OSError:  # a service may run with stderr closed
        yield
        return
    try:
        with open(os.devnull, "wb") as sink:  # noqa: PTH123  # os.dup2 needs a descriptor
            os.dup2(sink.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)

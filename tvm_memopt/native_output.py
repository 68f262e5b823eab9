"""What native code prints past Python."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def native_stderr_discarded() -> Iterator[None]:
    """Send what is written to file descriptor 2 to nowhere, for TVM's own chatter."""
    try:
        saved = os.dup(2)
    except OSError:  # a service may run with stderr closed
        yield
        return
    try:
        with open(os.devnull, "wb") as sink:  # noqa: PTH123  # os.dup2 wants a descriptor
            os.dup2(sink.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)

"""Ctrl-C while TVM builds: a KeyboardInterrupt in one of the callbacks of TVM 0.16 would crash the process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PRESSED: list[int] | None = None


class InterruptedSearchError(Exception):
    """Ctrl-C outside the part of the search that keeps its result."""


def _note(number: int, _frame: object) -> None:
    if _PRESSED is not None:
        _PRESSED.append(number)


@contextmanager
def held_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back until the block ends, and raise KeyboardInterrupt then.

    It has no effect outside the main thread, nor in programs with a SIGINT handler of their own.
    """
    global _PRESSED  # noqa: PLW0603  signal handlers are global too
    own = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not own or threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed = _PRESSED = []
    signal.signal(signal.SIGINT, _note)
    try:
        yield
    except InterruptedSearchError:
        pressed.append(signal.SIGINT)
    finally:
        _PRESSED = None
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if pressed:
        raise KeyboardInterrupt


@contextmanager
def heard_interrupts() -> Iterator[None]:
    """Within held_interrupts: let the block receive Ctrl-C, as a search does that ends with its best plan so far."""
    if signal.getsignal(signal.SIGINT) is not _note:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedSearchError from None
    finally:
        signal.signal(signal.SIGINT, _note)

"""Ctrl-C handling for code that must keep its result, in place of a KeyboardInterrupt at any point."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

_POLL_SECONDS = 0.05
_T = TypeVar("_T")


@contextmanager
def noted_interrupts(on_press: Callable[[], None] | None = None) -> Iterator[list[int]]:
    """Record Ctrl-C in the yielded list and call ``on_press()``, instead of raising KeyboardInterrupt.

    Without ``on_press`` a second Ctrl-C raises, so that a search that cannot be stopped early can still be aborted. It
    has no effect outside the main thread, nor in programs with a SIGINT handler of their own.
    """
    pressed: list[int] = []
    own = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not own or threading.current_thread() is not threading.main_thread():
        yield pressed
        return

    def note(number: int, _frame: object) -> None:
        pressed.append(number)
        if on_press is not None:
            on_press()
        elif len(pressed) > 1:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def call_stoppable(call: Callable[[], _T], stop: Callable[[], object]) -> tuple[_T, bool]:
    """Run ``call`` in a second thread, so that this one receives Ctrl-C. On Ctrl-C, call ``stop`` until it ends.

    Returns the result of ``call``, and whether Ctrl-C was pressed.
    """
    outcome: list[_T] = []
    failure: list[BaseException] = []
    done = threading.Event()  # an interrupt inside Thread.join would mark the running thread as ended

    def work() -> None:
        try:
            outcome.append(call())
        except BaseException as error:
            failure.append(error)
        finally:
            done.set()

    threading.Thread(target=work, daemon=True).start()
    interrupted = False
    while not done.is_set():
        try:
            done.wait(_POLL_SECONDS)
            if interrupted:
                stop()  # repeatedly: a call before the search has started has no effect
        except KeyboardInterrupt:
            interrupted = True
    if failure:
        raise failure[0]
    return outcome[0], interrupted

"""Ctrl-C where an exception at just any place would lose the answer."""

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
    """Inside, Ctrl-C is noted in the list, after ``on_press()``, instead of raising KeyboardInterrupt.

    Without ``on_press`` a second one raises: what cannot be ended early can still be given up. Other threads than the
    main one, and programs with a handler of their own, are left alone.
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
    """Run ``call`` in a second thread, so that Ctrl-C reaches this one; then ``stop`` is called until it ends.

    Returns what ``call`` returned and whether Ctrl-C was pressed.
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
                stop()  # again and again: a call before the search has begun is lost
        except KeyboardInterrupt:
            interrupted = True
    if failure:
        raise failure[0]
    return outcome[0], interrupted

"""What every test can count on, wherever the tests are started from."""

import gc
import signal

import pytest
from hypothesis import settings

settings.register_profile("memopt", deadline=None)  # speed lives in benchmarks/
settings.load_profile("memopt")


@pytest.fixture(scope="session", autouse=True)
def interrupts_raise() -> None:
    """A shell's background jobs ignore Ctrl-C; the tests press it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def native_library_is_loaded(interrupts_raise: None) -> None:
    """Its first load may take seconds where torch is installed: not out of the time limit of some test."""
    from tvm_memopt.solvers import native

    native.library()


@pytest.fixture(autouse=True)
def interrupts_are_not_lost() -> None:
    """Hypothesis counts the time of garbage collections, for deadlines; a Ctrl-C in that callback is swallowed."""
    gc.callbacks.clear()

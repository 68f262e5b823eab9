"""Failures of third-party importers as one line of text."""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import logging
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import ModuleType, TracebackType
from typing import Any, TypeVar

from tvm_memopt.errors import FrontendError
from tvm_memopt.native_output import native_stderr_discarded

logger = logging.getLogger(__name__)
_T = TypeVar("_T")
_MAX_REASON = 300
_MAX_PLACES = 3


def require(module: str, install: str) -> ModuleType:
    """Import the optional package ``module``. If absent, raises FrontendError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise FrontendError(
            f"reading this format needs the package {module!r} ({reason(error)}); install it with: {install}"
        ) from error


def run_importer(call: Callable[[], _T], explain: Callable[[Exception], str]) -> _T:
    """Run ``call`` with prints and warnings sent to the log. A failure becomes FrontendError, worded by ``explain``."""
    try:
        with _prints_in_the_log():
            return call()
    except (FrontendError, MemoryError):
        raise
    except Exception as error:
        logger.debug("the importer failed", exc_info=True)
        line = " ".join(explain(error).split())
        _release_frames(error)
    raise FrontendError(line)


def reason(error: BaseException) -> str:
    """``ExceptionType: first line``, truncated to fit on one line of output."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text if len(text) <= _MAX_REASON else text[: _MAX_REASON - 3] + "..."


def show_places(places: Iterable[tuple[str, str]]) -> str:
    """Format (operator, place) pairs as ``LSTM (node 'a'; node 'b'; and 7 more), GRU (node 'c')``."""
    by_operator: dict[str, list[str]] = {}
    for operator, place in places:
        by_operator.setdefault(operator, []).append(place)
    return ", ".join(f"{operator} ({_some(found)})" for operator, found in by_operator.items())


def _some(places: Sequence[str]) -> str:
    more = len(places) - _MAX_PLACES
    return "; ".join(places[:_MAX_PLACES]) + (f"; and {more} more" if more > 0 else "")


def locals_where(error: BaseException, function: str) -> Mapping[str, Any]:
    """Local variables of the innermost call to ``function`` in the traceback of ``error``. Empty if there is none."""
    found: Mapping[str, Any] = {}
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name == function:
            found = dict(frame.f_locals)
    return found


@contextlib.contextmanager
def _prints_in_the_log() -> Iterator[None]:
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    finally:
        for text in [*printed.getvalue().splitlines(), *(str(warning.message) for warning in caught)]:
            logger.debug("importer: %s", text)


def _release_frames(error: BaseException | None) -> None:
    """Free objects held by the failed call. TVM's incomplete functions print to stderr when destroyed."""
    with native_stderr_discarded():
        while error is not None:
            _clear(error.__traceback__)
            error.__traceback__ = None
            error = error.__cause__ or error.__context__
        gc.collect()


def _clear(frames: TracebackType | None) -> None:
    if frames is not None:
        traceback.clear_frames(frames)

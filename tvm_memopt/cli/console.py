"""Console output: results on stdout, logs and progress on stderr."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import click

from tvm_memopt.errors import MemoptError
from tvm_memopt.solvers.request import Progress


def emit(as_json: bool, document: Mapping[str, object], text: str) -> None:
    """Print the result of a command as JSON or as text."""
    with printing():
        click.echo(json.dumps(document, indent=1) if as_json else text)


@contextmanager
def printing() -> Iterator[None]:
    """Report a failed write to stdout, such as on a full disk, as MemoptError. A closed pipe is left to click."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise MemoptError(f"standard output cannot be written: {error.strerror or error}") from error


def note(message: str) -> None:
    """Print a line on stderr."""
    click.echo(message, err=True)


def print_notes(notes: Iterable[str]) -> None:
    """Print the notes of a plan on stderr."""
    for text in notes:
        note(text)


def set_up_logging(verbosity: int) -> None:
    """Log the package's messages on stderr: warnings, with -v progress, with -vv everything."""
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, 2)]
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    logging.getLogger("tvm_memopt").setLevel(level)


@contextmanager
def stage(text: str) -> Iterator[None]:
    """Show a spinner on stderr during a long stage, if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield


@contextmanager
def search_progress() -> Iterator[Callable[[Progress], None] | None]:
    """A callback for Request.progress that shows the best plan so far on a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    with Console(stderr=True).status("searching") as status:

        def show(news: Progress) -> None:
            arena = "no plan yet" if news.arena_nbytes is None else f"arena {news.arena_nbytes:,}"
            status.update(f"{news.seconds:5.1f} s  {news.stage}  {arena}  bound {news.lower_bound_nbytes or 0:,}")

        yield show

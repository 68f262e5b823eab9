"""Running the command in this process, and what a refusal must look like."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tvm_memopt.cli.main import main

PREFIX = "tvm-memopt: error: "


@dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str


def run_command(capfd: pytest.CaptureFixture[str], *arguments: object) -> Result:
    """Run the command in this process; native code's own output is caught too."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    found = capfd.readouterr()
    assert isinstance(ended.value.code, int)
    return Result(ended.value.code, found.out, found.err)


def assert_refused(result: Result, *words: str, status: int = 2) -> None:
    """One line on stderr that holds ``words``, nothing on stdout, and the exit status."""
    assert result.status == status, result
    assert result.out == ""
    assert len(result.err.splitlines()) == 1, result.err
    assert result.err.startswith(PREFIX)
    for word in words:
        assert word in result.err
    assert "Traceback" not in result.err
    assert "internal error" not in result.err


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder below ``folder``, hidden ones too, with its size and time."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.stat()
        found[str(path.relative_to(folder))] = (status.st_size if path.is_file() else 0, status.st_mtime_ns)
    return found


@contextmanager
def nothing_left_behind(folder: Path | None = None) -> Iterator[None]:
    """The files of ``folder`` (default: the current one) are the same before and after."""
    folder = folder or Path(os.curdir)
    before = listing(folder)
    yield
    assert listing(folder) == before

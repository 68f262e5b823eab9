"""Steps of a set-up that are done once: each leaves a stamp that holds what it was made from."""

from __future__ import annotations

import fcntl
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tvm_memopt.atomic import write_text_atomic
from tvm_memopt.errors import MemoptError

Say = Callable[[str], None]


@dataclass(frozen=True)
class Stages:
    """The set-up of one folder. ``say`` is told what is being done, in a line."""

    folder: Path
    say: Say

    def once(self, name: str, recipe: str, make: Callable[[], None], what: str) -> None:
        """Call ``make`` unless it has been called before with the same ``recipe``."""
        stamp = self.folder / f"{name}.stamp"
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == recipe:
            return
        stamp.unlink(missing_ok=True)
        self.say(what)
        make()
        write_text_atomic(stamp, recipe)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time change ``folder``, which is made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise MemoptError(f"{folder}: cannot be used: {error.strerror or error}; set XDG_CACHE_HOME") from error


def run_quietly(
    command: Sequence[str], what: str, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """Run a command and return what it prints. Raises MemoptError with its last line of error, and ``what`` failed."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
    except FileNotFoundError:
        raise MemoptError(f"{what} needs {command[0]}, which is not installed") from None
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower() or line.startswith("E:")]
        reason = (errors or lines or ["no reason given"])[-1].strip()
        raise MemoptError(f"{what} failed: {reason} (command: {shlex.join(command)[:200]})")
    return done.stdout

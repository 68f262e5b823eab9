"""One job: a call of the ``tvm-memopt`` command in a process of its own, in a folder of its own."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tvm_memopt

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Job:
    """``arguments`` of the command, run in an empty folder that holds ``inputs``, by file name.

    ``key``: distinct for every job. ``log``: a file to which each start appends the key, to see what ran how often.
    """

    key: str
    arguments: tuple[str, ...]
    inputs: Mapping[str, bytes] = field(default_factory=dict)
    log: str | None = None


@dataclass(frozen=True)
class JobResult:
    """What a job left. ``document``: its JSON output. ``error``: its last line on stderr. ``files``: by their path."""

    key: str
    status: int
    document: dict[str, Any] | None
    error: str
    files: Mapping[str, bytes]
    seconds: float


def run_job(job: Job) -> JobResult:
    """Run the command. A job that fails has a status and an error; nothing is raised."""
    started = time.monotonic()
    if job.log is not None:
        with Path(job.log).open("a", encoding="utf-8") as log:
            log.write(f"{job.key}\n")
    with TemporaryDirectory(prefix="tvm-memopt-") as name:
        folder = Path(name)
        for file, content in job.inputs.items():
            (folder / file).write_bytes(content)
        command = [sys.executable, "-m", "tvm_memopt", *job.arguments]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, env=_environment(), check=False,
            start_new_session=True,  # Ctrl-C in the terminal is for the command that started the farm
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )  # fmt: skip
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name not in job.inputs
        }
    return JobResult(job.key, done.returncode, _document(done.stdout), _error(done), files, time.monotonic() - started)


def _environment() -> dict[str, str]:
    """The environment, with this package on the path of the child."""
    root = str(Path(tvm_memopt.__file__).parent.parent)
    earlier = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": root + (os.pathsep + earlier if earlier else "")}


def _end_with_parent() -> None:
    """Let the kernel end this process when its parent dies: a killed worker leaves no process behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _document(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _error(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    if done.returncode < 0:
        return f"the process was ended by {signal.Signals(-done.returncode).name}"
    last = lines[-1] if lines else f"exit status {done.returncode}"
    return last.removeprefix("tvm-memopt: error: ")

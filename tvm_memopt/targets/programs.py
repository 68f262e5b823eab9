"""Run programs on this machine: those of other machines under QEMU."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from tvm_memopt.errors import MemoptError
from tvm_memopt.targets.cache import cache_directory
from tvm_memopt.targets.elf import machine_of

# QEMU takes the processor from the program, but knows only those up to v67: later code runs as far as it is v67's.
_OPTIONS = {"hexagon": ["-cpu", "v67"]}


def run_program(path: str | os.PathLike[str], request: bytes, seconds: float = 60.0) -> bytes:
    """Give a program ``request`` on its standard input and return what it writes.

    Raises MemoptError if it does not end in time, if it crashes, or if there is no QEMU for its machine.
    """
    shown = os.fspath(path)
    command = [*_emulator(machine_of(path)), str(Path(path).absolute())]
    if not os.access(path, os.X_OK):  # as after an upload; QEMU asks for it as well
        Path(path).chmod(0o700)
    try:
        done = subprocess.run(command, input=request, capture_output=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise MemoptError(f"{shown}: did not end in {seconds:g} s") from None
    except OSError as error:
        raise MemoptError(f"{shown}: cannot be run: {error.strerror or error}") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise MemoptError(f"{shown}: {_ending(done.returncode)}{': ' + said[-1] if said else ''}")
    return done.stdout


def _ending(status: int) -> str:
    if status < 0:
        return f"ended by signal {-status} ({signal.strsignal(-status)})"
    return f"ended with exit status {status}"


def _emulator(machine: str) -> list[str]:
    if machine == os.uname().machine:
        return []
    names = [f"qemu-{machine}", f"qemu-{machine}-static"]
    kept = cache_directory() / "emulator" / "qemu" / names[1]
    found = next((name for name in names if shutil.which(name)), str(kept) if kept.is_file() else None)
    if found is None:
        raise MemoptError(
            f"programs for {machine} run here under QEMU's user mode, which is not installed: "
            "apt-get install qemu-user-static"
        )
    return [found, *_OPTIONS.get(machine, [])]

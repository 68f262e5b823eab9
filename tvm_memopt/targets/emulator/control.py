"""Start, stop and look at the emulated device."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import tvm_memopt
from tvm_memopt.atomic import write_text_atomic
from tvm_memopt.errors import MemoptError
from tvm_memopt.targets.emulator.install import Emulator, emulator, set_up
from tvm_memopt.targets.emulator.keeper import Orders, State
from tvm_memopt.targets.emulator.stages import Say, locked
from tvm_memopt.targets.rpc.address import Address
from tvm_memopt.targets.rpc.failures import NoDeviceError
from tvm_memopt.targets.rpc.tracker import registered

_KEEPER = "tvm_memopt.targets.emulator.keeper"
_START_SECONDS = 120.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.1


def start(light: bool, key: str, devices: int, say: Say) -> State:
    """Set the device up if necessary, start it, and wait until all its servers are registered.

    Raises MemoptError if another one runs, or with the last line of the log if it does not start.
    """
    found = set_up(light, say)
    with locked(found.folder):
        running = status()
        if running is not None:
            if (running.light, running.key, len(running.servers)) == (light, key, devices):
                return running
            raise MemoptError(
                f"an emulated device with key {running.key!r} runs already: `tvm-memopt emulator stop` ends it"
            )
        return _start(found, light, key, devices)


def status() -> State | None:
    """What runs, or None."""
    try:
        state = State(**json.loads(_state_file(emulator()).read_text(encoding="utf-8")))
        command = Path(f"/proc/{state.pid}/cmdline").read_bytes()
    except (OSError, ValueError, TypeError):
        return None
    return state if _KEEPER.encode() in command else None


def stop() -> bool:
    """End the emulated device. False if none runs."""
    state = status()
    if state is None:
        return False
    _end(state.pid)
    _state_file(emulator()).unlink(missing_ok=True)
    return True


def _start(found: Emulator, light: bool, key: str, devices: int) -> State:
    logs = found.folder / "log"
    logs.mkdir(exist_ok=True)
    for old in logs.glob("*.log"):
        old.unlink()
    command = found.light_command() if light else found.python_command()
    orders = Orders(command, key, devices, light, str(_state_file(found)), str(logs))
    write_text_atomic(found.folder / "orders.json", json.dumps(asdict(orders)))
    root = str(Path(tvm_memopt.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}
    with (logs / "keeper.log").open("ab") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", _KEEPER, str(found.folder / "orders.json")], start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
        )  # fmt: skip
    try:
        return _wait_until_registered(keeper, devices, logs)
    except BaseException:
        _end(keeper.pid)
        _state_file(found).unlink(missing_ok=True)
        raise


def _wait_until_registered(keeper: subprocess.Popen[bytes], devices: int, logs: Path) -> State:
    ends = time.monotonic() + _START_SECONDS
    while time.monotonic() < ends and keeper.poll() is None:
        time.sleep(_POLL_SECONDS)
        state = status()
        if state is None:
            continue
        if registered_devices(state) >= devices:
            return state
        if state.restarts > 2 * devices:
            break
    lines = [line for path in sorted(logs.glob("*.log")) for line in path.read_text(errors="replace").splitlines()]
    reason = next((line.strip() for line in reversed(lines) if line.strip()), "nothing in its log")
    raise MemoptError(f"the emulated device did not start: {reason} (logs: {logs})")


def registered_devices(state: State) -> int:
    """How many of its servers the tracker knows."""
    try:
        return registered(Address.parse(state.tracker)).servers.get(state.key, 0)
    except NoDeviceError:
        return 0


def _end(pid: int) -> None:
    """End the process group of the keeper."""
    ends = time.monotonic() + _STOP_SECONDS
    try:
        os.kill(pid, signal.SIGTERM)
        while time.monotonic() < ends:
            with suppress(ChildProcessError):  # the keeper is a child only of the process that started it
                os.waitpid(pid, os.WNOHANG)
            os.killpg(pid, 0)
            time.sleep(_POLL_SECONDS)
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _state_file(found: Emulator) -> Path:
    return found.folder / "state.json"

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
from tvm_memopt.targets.cache import cache_directory
from tvm_memopt.targets.emulator.install import emulator, set_up, set_up_hexagon
from tvm_memopt.targets.emulator.keeper import Orders, State
from tvm_memopt.targets.emulator.stages import Say, locked
from tvm_memopt.targets.rpc.address import Address
from tvm_memopt.targets.rpc.failures import NoDeviceError
from tvm_memopt.targets.rpc.tracker import registered

_KEEPER = "tvm_memopt.targets.emulator.keeper"
_PROGRAM_SERVER = "tvm_memopt.targets.emulator.program_server"
_START_SECONDS = 120.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.1


def start(light: bool, key: str, devices: int, say: Say, *, hexagon: bool = False) -> State:
    """Set the device up if necessary, start it, and wait until all its servers are registered.

    ``light``: the server in C++. ``hexagon``: a server that runs programs for Hexagon, rather than AArch64 modules.

    Raises MemoptError if another one runs, or with the last line of the log if it does not start.
    """
    found = set_up_hexagon(say) if hexagon else set_up(light, say)
    folder = _folder(hexagon)
    with locked(folder):
        running = status(hexagon)
        if running is not None:
            if (running.light, running.key, len(running.servers)) == (light, key, devices):
                return running
            raise MemoptError(
                f"an emulated device with key {running.key!r} runs already: `tvm-memopt emulator stop` ends it"
            )
        command = [sys.executable, "-m", _PROGRAM_SERVER] if hexagon else found.server_command(light)
        return _start(
            folder, Orders(command, key, devices, light, str(_state_file(folder)), str(folder / "log")), hexagon
        )


def status(hexagon: bool = False) -> State | None:
    """What runs of the AArch64 device, or of the Hexagon one, or None."""
    try:
        state = State(**json.loads(_state_file(_folder(hexagon)).read_text(encoding="utf-8")))
        command = Path(f"/proc/{state.pid}/cmdline").read_bytes()
    except (OSError, ValueError, TypeError):
        return None
    return state if _KEEPER.encode() in command else None


def stop(hexagon: bool = False) -> bool:
    """End the AArch64 device, or the Hexagon one. False if it does not run."""
    state = status(hexagon)
    if state is None:
        return False
    _end(state.pid)
    _state_file(_folder(hexagon)).unlink(missing_ok=True)
    return True


def _start(folder: Path, orders: Orders, hexagon: bool) -> State:
    logs = Path(orders.log)
    logs.mkdir(exist_ok=True)
    for old in logs.glob("*.log"):
        old.unlink()
    write_text_atomic(folder / "orders.json", json.dumps(asdict(orders)))
    root = str(Path(tvm_memopt.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}
    with (logs / "keeper.log").open("ab") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", _KEEPER, str(folder / "orders.json")], start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
        )  # fmt: skip
    try:
        return _wait_until_registered(keeper, orders.devices, logs, hexagon)
    except BaseException:
        _end(keeper.pid)
        _state_file(folder).unlink(missing_ok=True)
        raise


def _wait_until_registered(keeper: subprocess.Popen[bytes], devices: int, logs: Path, hexagon: bool) -> State:
    ends = time.monotonic() + _START_SECONDS
    while time.monotonic() < ends and keeper.poll() is None:
        time.sleep(_POLL_SECONDS)
        state = status(hexagon)
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


def _folder(hexagon: bool) -> Path:
    """The folder of a device's state and logs. Both kinds can run at the same time."""
    return cache_directory() / "hexagon" if hexagon else emulator().folder


def _state_file(folder: Path) -> Path:
    return folder / "state.json"

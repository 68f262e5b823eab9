"""The process that keeps an emulated device running: a tracker, and servers that are started again when they end.

``python -m tvm_memopt.targets.emulator.keeper FILE``: FILE holds the fields of ``Orders`` as JSON. SIGTERM ends it and
everything that it started. All of it is one process group.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from tvm_memopt.atomic import write_text_atomic

_HOST = "127.0.0.1"
_TRACKER_PORTS, _SERVER_PORTS = (9190, 9390), (9400, 9900)
_CHECK_SECONDS = 0.5
_RESTART_SECONDS = 2.0  # a server that ends at once is not started again sooner


@dataclass(frozen=True)
class Orders:
    """What to keep running. ``state``: the file in which the keeper says what runs. ``log``: a folder."""

    command: list[str]
    key: str
    devices: int
    light: bool
    state: str
    log: str


@dataclass(frozen=True)
class State:
    """What runs. ``servers``: processes. ``restarts``: how often a server had to be started again."""

    pid: int
    tracker: str
    key: str
    light: bool
    servers: list[int]
    restarts: int


class _Server:
    """One server, kept running."""

    def __init__(self, orders: Orders, tracker: str, number: int) -> None:
        self._log = Path(orders.log, f"server-{number}.log")
        ports = ["--host", _HOST, "--port", str(_SERVER_PORTS[0]), "--port-end", str(_SERVER_PORTS[1])]
        self._command = [*orders.command, *ports, "--tracker", tracker, "--key", orders.key]
        self.restarts = -1
        self._start()

    def _start(self) -> None:
        self.restarts += 1
        self._started = time.monotonic()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def pid(self) -> int:
        return self._process.pid

    def keep(self) -> bool:
        """Start the server again if it has ended. True if it was."""
        if self._process.poll() is None or time.monotonic() - self._started < _RESTART_SECONDS:
            return False
        self._start()
        return True


def main(path: str) -> int:
    """Keep running what ``path`` orders, until SIGTERM."""
    orders = Orders(**json.loads(Path(path).read_text(encoding="utf-8")))
    stopped = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]  # TVM would import it, which takes seconds
    from tvm.rpc.tracker import Tracker

    tracker = Tracker(host=_HOST, port=_TRACKER_PORTS[0], port_end=_TRACKER_PORTS[1], silent=True)
    try:
        address = f"{_HOST}:{tracker.port}"
        servers = [_Server(orders, address, number) for number in range(orders.devices)]
        _write(orders, address, servers)
        while not stopped:
            time.sleep(_CHECK_SECONDS)
            restarted = [server.keep() for server in servers]
            if any(restarted):
                _write(orders, address, servers)
    finally:
        Path(orders.state).unlink(missing_ok=True)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(os.getpgid(0), signal.SIGTERM)
        time.sleep(_CHECK_SECONDS)
        os.killpg(os.getpgid(0), signal.SIGKILL)  # this process too
    return 0


def _write(orders: Orders, tracker: str, servers: list[_Server]) -> None:
    pids, restarts = [server.pid for server in servers], sum(server.restarts for server in servers)
    state = State(os.getpid(), tracker, orders.key, orders.light, pids, restarts)
    write_text_atomic(orders.state, json.dumps(asdict(state)) + "\n")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))

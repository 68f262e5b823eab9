"""RPC trackers and servers on this machine, for tests of what happens when they go away."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tvm_memopt.targets.emulator.install import SERVER_SOURCE
from tvm_memopt.targets.rpc.address import Address
from tvm_memopt.targets.rpc.tracker import registered

_PORTS = ("--port", "29600", "--port-end", "29900")


def build_server(folder: Path) -> Path:
    """The RPC server in C++, compiled for this machine."""
    import tvm
    import tvm_ffi

    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("the RPC server needs a C++ compiler")
    lib, ffi = Path(tvm.__file__).parent / "lib", Path(tvm_ffi.__file__).parent
    command = [compiler, "-std=c++17", "-O0", "-w", "-I", ffi / "include", SERVER_SOURCE, "-o", folder / "server"]
    command += [f"-L{lib}", f"-L{ffi / 'lib'}", "-Wl,--no-as-needed", "-ltvm_runtime", "-ltvm_ffi", "-ldl"]
    command += ["-Wl,--allow-shlib-undefined", f"-Wl,-rpath,{lib}:{ffi / 'lib'}"]
    subprocess.run(list(map(str, command)), check=True)
    return folder / "server"


class Server:
    """One running server; ``address`` is where it listens."""

    def __init__(self, binary: Path, log: Path, *options: str, largest_file: int | None = None) -> None:
        command = [str(binary), *_PORTS, *options]
        if largest_file is not None:  # then a write fails, as it does on a full disk
            command = ["sh", "-c", f'trap "" XFSZ; ulimit -f {largest_file // 512}; exec "$@"', "sh", *command]
        with log.open("wb") as file:
            self.process = subprocess.Popen(command, stderr=file)
        ends = time.monotonic() + 60
        while b"bind to" not in log.read_bytes():
            assert self.process.poll() is None, log.read_text()
            assert time.monotonic() < ends
        self.address = log.read_text().split("bind to ")[1].split()[0]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def start_tracker() -> Any:
    """TVM's own tracker, in a process of its own, which takes seconds to start."""
    from tvm.rpc.tracker import Tracker

    return Tracker(host="127.0.0.1", port=29100, port_end=29400, silent=True)


class Farm:
    """A tracker, and servers under the key "device"."""

    def __init__(self, binary: Path, folder: Path, tracker: Any | None = None) -> None:
        self.binary, self.folder = binary, folder
        self.shared, self.tracker = tracker is not None, tracker or start_tracker()
        self.address = f"127.0.0.1:{self.tracker.port}"
        self.servers: list[Server] = []

    def add(self) -> Server:
        log = self.folder / f"server-{len(self.servers)}.log"
        self.servers.append(Server(self.binary, log, "--tracker", self.address, "--key", "device"))
        self.wait_for(sum(server.process.poll() is None for server in self.servers))
        return self.servers[-1]

    def wait_for(self, count: int) -> None:
        ends = time.monotonic() + 60
        while registered(Address.parse(self.address)).free.get("device", 0) < count:
            assert time.monotonic() < ends

    def close(self) -> None:
        for server in self.servers:
            server.stop()
        if not self.shared:
            self.tracker.terminate()
            return
        ends = time.monotonic() + 60
        while registered(Address.parse(self.address)).servers:
            assert time.monotonic() < ends


@contextmanager
def slow_link(address: str, bytes_per_second: int) -> Iterator[str]:
    """The address of a relay to ``address`` that passes on so many bytes a second in each direction."""
    relay = [sys.executable, Path(__file__).with_name("rpc_relay.py"), *address.rsplit(":", 1), str(bytes_per_second)]
    with subprocess.Popen(relay, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"127.0.0.1:{process.stdout.readline().strip()}"
        process.kill()

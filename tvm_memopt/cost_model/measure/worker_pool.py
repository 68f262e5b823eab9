"""A pool of worker processes that survives its jobs: a crash or time-out costs one candidate and a restart."""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypedDict

import tvm_memopt


class Request(TypedDict, total=False):
    """A request to a worker. ``job`` determines which of the other keys are used. ``timing``,
    ``device``: the fields of Timing and of targets.rpc.Device. ``arguments``: type and shape of each."""

    job: str
    module: str
    target: str
    output: str
    timing: dict[str, Any]
    timeout: float
    space: str
    count: int
    seed: int
    best: str | None
    cc: str | None
    device: dict[str, Any]
    device_type: str
    arguments: list[tuple[str, list[int]]]


class Reply(TypedDict, total=False):
    """A worker's reply: the result of its job, or ``error``."""

    ready: bool
    error: str
    timed_out: bool
    no_device: bool
    seconds: list[float]
    output: str
    hashes: list[str]


COMMAND = (sys.executable, "-m", "tvm_memopt.cost_model.measure.worker")
_START_SECONDS = 180.0
_USES = 500  # jobs until a process is restarted, because LLVM and TVM retain a little memory per module


class WorkerPool:
    """A pool of ``workers`` processes. Each reply is a result, or has the key "error" with its cause.

    A context manager: leaving it ends all processes immediately.
    """

    def __init__(self, workers: int = 1, timeout: float = 30.0, command: Sequence[str] = COMMAND) -> None:
        self.workers, self.timeout, self._command = workers, timeout, tuple(command)
        self._requests: queue.SimpleQueue[tuple[Request, Future[Reply]] | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._processes: list[_Process] = [_Process(self._command) for _ in range(workers)]
        self._threads = [threading.Thread(target=self._serve, args=(p,), daemon=True) for p in self._processes]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(self, request: Request) -> Future[Reply]:
        """Submit a request, which may set its own "timeout" in seconds. Returns a future of the reply."""
        future: Future[Reply] = Future()
        self._requests.put((request, future))
        return future

    def close(self) -> None:
        """End all processes. Pending replies become errors."""
        self._closed.set()
        for _ in self._threads:
            self._requests.put(None)
        for process in self._processes:
            process.end()
        for thread in self._threads:
            thread.join(timeout=5)

    def _serve(self, process: _Process) -> None:
        while (entry := self._requests.get()) is not None:
            request, future = entry
            if self._closed.is_set():
                future.set_result({"error": "interrupted"})
                continue
            try:
                reply = process.ask(request, float(request.get("timeout", self.timeout)))
            except Exception as error:  # otherwise the caller would wait forever
                process.end()
                reply = {"error": f"{type(error).__name__}: {error}"}
            future.set_result({"error": "interrupted"} if self._closed.is_set() else reply)
        process.end()


class _Process:
    """One process, started on the first request and restarted after each exit."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command, self._uses, self._unread = command, 0, b""
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, request: Request, timeout: float) -> Reply:
        if self._uses >= _USES:
            self.end()
        if self._process is None:
            cause = self._start()
            if cause is not None:
                return {"error": f"the worker process did not start: {cause}"}
        self._uses += 1
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            return {"error": self._obituary()}
        return self._read(timeout)

    def _start(self) -> str | None:
        environment = {**os.environ, "TVM_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        root = str(Path(tvm_memopt.__file__).parent.parent)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
            start_new_session=True,  # only the parent receives Ctrl-C, and then ends its workers
        )  # fmt: skip
        self._uses, self._unread = 0, b""
        reply = self._read(_START_SECONDS)
        return reply.get("error")

    def _read(self, timeout: float) -> Reply:
        assert self._process is not None
        assert self._process.stdout is not None
        stream, ends = self._process.stdout, time.monotonic() + timeout
        while b"\n" not in self._unread:
            left = ends - time.monotonic()
            if left <= 0 or not select.select([stream], [], [], left)[0]:
                self.end()
                return {"error": f"timed out after {timeout:g} s", "timed_out": True}
            piece = os.read(stream.fileno(), 1 << 16)
            if not piece:
                return {"error": self._obituary()}
            self._unread += piece
        line, self._unread = self._unread.split(b"\n", 1)
        reply: Reply = json.loads(line)
        return reply

    def _obituary(self) -> str:
        status = self._process.wait() if self._process is not None else 0
        self.end()
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return f"the worker process {how}"

    def end(self) -> None:
        """Kill the process, if it is running."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

"""A device as the user names it: a server's address, or a key at a tracker."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from tvm_memopt.errors import MemoptError
from tvm_memopt.targets.rpc.address import Address
from tvm_memopt.targets.rpc.failures import DeviceLostError, NoDeviceError, explained
from tvm_memopt.targets.rpc.session import Session
from tvm_memopt.targets.rpc.tracker import Match, request, require_key

if TYPE_CHECKING:
    import numpy as np

_T = TypeVar("_T")
_PROBE_SECONDS = 10.0
_MAGIC, _MISMATCH = 0xFF271, 2  # tvm.rpc.base: the first number of a session, and what is added to refuse a key
_BACK_OFF_SECONDS = 0.5  # doubled after each attempt


@dataclass(frozen=True)
class Device:
    """A device behind TVM's RPC. Give ``rpc``, or ``tracker`` and ``key``.

    ``rpc``, ``tracker``: "host:port" of a server or a tracker. ``key``: the name under which one or several equal
    devices are registered. ``timeout``: seconds that one session may last; the server ends it after that. ``attempts``:
    how often work is tried when the connection ends in its middle. ``patience``: seconds to wait while no device is
    registered. ``busy``: seconds to wait while all are in use.
    """

    rpc: str | None = None
    tracker: str | None = None
    key: str | None = None
    timeout: float = 60.0
    attempts: int = 3
    patience: float = 30.0
    busy: float = 600.0

    def __post_init__(self) -> None:
        if (self.tracker is None) != (self.key is None):
            raise MemoptError("--tracker and --key belong together: give both or neither")
        if (self.rpc is None) == (self.tracker is None):
            raise MemoptError("a device is named by the address of its server, or by a tracker and a key: give one")
        self.address()

    def address(self) -> Address:
        """The address of the server or of the tracker. Raises MemoptError if it is not one."""
        if self.rpc is not None:
            return Address.parse(self.rpc, "RPC server")
        return Address.parse(str(self.tracker), "tracker")

    def __str__(self) -> str:
        return f"device {self.rpc}" if self.rpc is not None else f"device {self.key} of tracker {self.tracker}"

    def count(self) -> int:
        """How many devices of this name answer. Raises NoDeviceError within 15 seconds if none does."""
        if self.rpc is not None:
            self._probe()
            return 1
        return require_key(self.address(), str(self.key))

    def wait(self) -> int:
        """As count, but waits up to ``patience`` seconds for a device that is being started again."""
        ends = time.monotonic() + self.patience
        while True:
            try:
                return self.count()
            except NoDeviceError:
                if time.monotonic() >= ends:
                    raise
            time.sleep(_BACK_OFF_SECONDS)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open a session, which ends with the block. Raises NoDeviceError or DeviceLostError."""
        session = Session(self._connect(), str(self))
        try:
            yield session
        finally:
            session.close()

    def run(
        self, path: str | os.PathLike[str], inputs: Sequence[np.ndarray], function: str = "main"
    ) -> tuple[np.ndarray, ...]:
        """Run a function of a compiled module once on the device, and return its outputs, flattened in order.

        The module is uploaded. When the device goes away in the middle, another of the same name, or the same one
        after a pause, does the work. Raises DeviceError.
        """

        def work() -> tuple[np.ndarray, ...]:
            with self.session() as session:
                return session.run(path, inputs, function)

        self.count()
        return self.retried(work)

    def retried(self, work: Callable[[], _T]) -> _T:
        """Do work that may be done again, until it ends without losing the device, at most ``attempts`` times."""
        for attempt in range(1, self.attempts + 1):
            try:
                return work()
            except DeviceLostError as error:
                if attempt == self.attempts:
                    times = "once" if attempt == 1 else f"{attempt} times"
                    raise DeviceLostError(
                        f"{error} ({times}: the device is gone, or this code crashes its server)"
                    ) from error
                time.sleep(_BACK_OFF_SECONDS * 2 ** (attempt - 1))
        raise AssertionError

    def _connect(self) -> object:
        from tvm import rpc

        match = self._match()
        limit = max(1, int(self.timeout))
        try:
            return rpc.connect(match.address.host, match.address.port, key=match.key, session_timeout=limit)
        except (RuntimeError, OSError) as error:
            found = explained(error, str(self), "connecting")
            raise found if isinstance(found, NoDeviceError) else DeviceLostError(str(found)) from error

    def _match(self) -> Match:
        if self.rpc is None:
            return request(self.address(), str(self.key), self.patience, self.busy)
        self.wait()
        return Match(self.address(), self.key or "")

    def _probe(self) -> None:
        """Try the handshake of a session: TVM's own client waits for it without end."""
        advice = "start it there: python -m tvm.exec.rpc_server --host 0.0.0.0 --port 9090"
        try:
            with self.address().connect("RPC server", _PROBE_SECONDS, advice) as connection:
                name = f"client:{self.key or ''}".encode()
                connection.sendall(struct.pack("<ii", _MAGIC, len(name)) + name)
                answer = connection.recv(4)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(256):  # a reset, which unread bytes cause, would end TVM's Python server
                    pass
        except OSError:
            raise NoDeviceError(
                f"{self} accepts connections but does not answer in {_PROBE_SECONDS:g} s: another client uses it, or "
                "its server hangs: restart it"
            ) from None
        if answer == struct.pack("<i", _MAGIC + _MISMATCH):
            raise explained(RuntimeError("cannot find server that matches key"), str(self), "connecting")
        if answer != struct.pack("<i", _MAGIC):
            raise NoDeviceError(f"{self} is not a TVM RPC server: {advice}")

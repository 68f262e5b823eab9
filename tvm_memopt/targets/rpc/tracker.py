"""A client of TVM's RPC tracker. TVM's own waits without end for a tracker or a device that does not answer.

The protocol: a magic number in either direction, then JSON texts, each after its length in 4 bytes (tvm.rpc.base).
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tvm_memopt.targets.rpc.address import Address
from tvm_memopt.targets.rpc.failures import NoDeviceError

_MAGIC = 0x2F271
_SUCCESS, _REQUEST, _SUMMARY = 0, 4, 6
_CONNECT_SECONDS = 5.0  # twice this, for the connection and the first answer, is the longest wait for a tracker
_POLL_SECONDS = 1.0
_LONGEST = 1 << 24


@dataclass(frozen=True, slots=True)
class Registered:
    """Servers that a tracker knows: by key, all of them and the ones that are free."""

    servers: Mapping[str, int]
    free: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Match:
    """A server that a tracker has lent out, and the key that it expects."""

    address: Address
    key: str


def registered(tracker: Address) -> Registered:
    """Ask a tracker for its servers. Raises NoDeviceError within 10 seconds if it does not answer."""
    with _connect(tracker) as connection:
        status = _ask(connection, tracker, [_SUMMARY])
    try:
        keys = (str(server["key"]).removeprefix("server:") for server in status[1]["server_info"])
        free = {str(key): int(queue["free"]) for key, queue in status[1]["queue_info"].items()}
        return Registered(dict(Counter(keys)), free)
    except (IndexError, KeyError, TypeError, AttributeError):
        raise NoDeviceError(f"tracker {tracker}: its answer is not that of TVM's RPC tracker") from None


def require_key(tracker: Address, key: str) -> int:
    """The number of servers registered as ``key``. Raises NoDeviceError, with the keys there are, if it is 0."""
    servers = registered(tracker).servers
    if not servers.get(key):
        known = ", ".join(sorted(servers)) or "none"
        raise NoDeviceError(
            f"tracker {tracker} has no device with key {key!r} (keys it has: {known}); start a server on the device: "
            f"python -m tvm.exec.rpc_server --tracker {tracker} --key {key}"
        )
    return servers[key]


def request(
    tracker: Address, key: str, patience: float, limit: float, clock: Callable[[], float] = time.monotonic
) -> Match:
    """Borrow a server, waiting while all are in use.

    Raises NoDeviceError if the tracker goes away, if no server has been registered for ``patience`` seconds, or if
    none became free within ``limit`` seconds.
    """
    started = last_seen = clock()
    with _connect(tracker) as connection:
        _send(connection, [_REQUEST, key, "", 1])
        connection.settimeout(_POLL_SECONDS)
        while True:
            try:
                first = connection.recv(4)
                break
            except TimeoutError:
                now = clock()
                if registered(tracker).servers.get(key):
                    last_seen = now
                if now - last_seen >= patience:
                    require_key(tracker, key)
                if now - started >= limit:
                    raise NoDeviceError(
                        f"tracker {tracker}: no device {key!r} became free in {limit:g} s: all are in use"
                    ) from None
            except OSError as error:
                raise _gone(tracker, error) from None
        connection.settimeout(_CONNECT_SECONDS)
        answer = _receive(connection, tracker, first)
    try:
        status, (host, port, match_key) = answer
        if status != _SUCCESS:
            raise ValueError
        return Match(Address(str(host), int(port)), str(match_key))
    except (ValueError, TypeError):
        raise NoDeviceError(f"tracker {tracker}: its answer is not that of TVM's RPC tracker") from None


def _connect(tracker: Address) -> socket.socket:
    advice = "start it: python -m tvm.exec.rpc_tracker --host 0.0.0.0 --port 9190"
    connection = tracker.connect("tracker", _CONNECT_SECONDS, advice)
    try:
        connection.sendall(struct.pack("<i", _MAGIC))
        if _exactly(connection, 4) != struct.pack("<i", _MAGIC):
            raise NoDeviceError(f"{tracker} is not a TVM RPC tracker: name the tracker's port, not a server's")
    except OSError as error:
        connection.close()
        raise NoDeviceError(
            f"{tracker} is not a TVM RPC tracker, or hangs ({error}): name the tracker's port, not a server's"
        ) from None
    except BaseException:
        connection.close()
        raise
    return connection


def _ask(connection: socket.socket, tracker: Address, message: list[Any]) -> Any:
    _send(connection, message)
    return _receive(connection, tracker)


def _send(connection: socket.socket, message: list[Any]) -> None:
    text = json.dumps(message).encode()
    connection.sendall(struct.pack("<i", len(text)) + text)


def _receive(connection: socket.socket, tracker: Address, first: bytes = b"") -> Any:
    try:
        size = struct.unpack("<i", first + _exactly(connection, 4 - len(first)))[0]
        if not 0 < size < _LONGEST:
            raise OSError("a message of impossible length")
        return json.loads(_exactly(connection, size))
    except (OSError, ValueError) as error:
        raise _gone(tracker, error) from None


def _exactly(connection: socket.socket, nbytes: int) -> bytes:
    found = b""
    while len(found) < nbytes:
        piece = connection.recv(nbytes - len(found))
        if not piece:
            raise OSError("it closed the connection")
        found += piece
    return found


def _gone(tracker: Address, error: Exception) -> NoDeviceError:
    return NoDeviceError(f"tracker {tracker} went away: {error}; start it and run the same command again")

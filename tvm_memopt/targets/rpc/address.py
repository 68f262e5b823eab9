"""Addresses of trackers and servers, written as HOST:PORT."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from tvm_memopt.errors import MemoptError
from tvm_memopt.targets.rpc.failures import NoDeviceError


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a TCP port."""

    host: str
    port: int

    @staticmethod
    def parse(text: str, what: str = "address") -> Address:
        """Read "host:port", with an IPv6 host in brackets. Raises MemoptError that names ``what`` otherwise."""
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise MemoptError(f"{what} {text!r} is not an address: expected host:port")
        return Address(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def connect(self, what: str, timeout: float, advice: str) -> socket.socket:
        """Open a TCP connection. Raises NoDeviceError, with ``advice``, if none answers within ``timeout`` seconds."""
        try:
            return socket.create_connection((self.host, self.port), timeout)
        except OSError as error:
            reason = f"no answer in {timeout:g} s" if isinstance(error, TimeoutError) else error.strerror or str(error)
            raise NoDeviceError(f"{what} {self} cannot be reached: {reason}; {advice}") from None

from __future__ import annotations

import socket
import threading

import pytest

from tvm_memopt.targets.rpc import Address, NoDeviceError
from tvm_memopt.targets.rpc import tracker as tracker_module
from tvm_memopt.targets.rpc.tracker import registered, request, require_key


@pytest.fixture
def silent():
    """The address of something that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Address("127.0.0.1", listener.getsockname()[1])


@pytest.fixture
def made_up():
    """Start something that answers every connection with the given bytes."""
    listeners = []

    def start(*answers: bytes) -> Address:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve():
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                with connection:
                    connection.recv(4)
                    for answer in answers:
                        connection.sendall(answer)
                    connection.recv(1 << 16)

        threading.Thread(target=serve, daemon=True).start()
        return Address("127.0.0.1", listener.getsockname()[1])

    yield start
    for listener in listeners:
        listener.close()


def test_a_tracker_that_is_not_there_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NoDeviceError, match="cannot be reached: Connection refused; start it"):
        registered(Address("127.0.0.1", port))


def test_a_tracker_that_hangs_is_one_line_and_not_a_wait(silent, monkeypatch):
    monkeypatch.setattr(tracker_module, "_CONNECT_SECONDS", 0.1)
    with pytest.raises(NoDeviceError, match="or hangs"):
        registered(silent)


def test_something_else_at_the_address_is_named(made_up):
    with pytest.raises(NoDeviceError, match="is not a TVM RPC tracker"):
        registered(made_up(b"HTTP"))


def test_a_tracker_that_goes_away_is_one_line(made_up):
    magic = (0x2F271).to_bytes(4, "little")
    with pytest.raises(NoDeviceError, match="went away"):
        registered(made_up(magic))


def test_keys_are_listed_and_waiting_is_bounded(made_up):
    pytest.importorskip("tornado", reason="TVM's tracker needs it")
    pytest.importorskip("tvm", reason="it is TVM's tracker")
    from tvm.rpc.tracker import Tracker

    tracker = Tracker(host="127.0.0.1", port=29100, port_end=29400, silent=True)
    address = Address("127.0.0.1", tracker.port)
    try:
        assert registered(address).servers == {}
        with pytest.raises(NoDeviceError, match=r"no device with key 'board'.*none"):
            require_key(address, "board")
        with pytest.raises(NoDeviceError, match="no device with key 'board'"):
            request(address, "board", patience=0, limit=60)
    finally:
        tracker.terminate()


def test_ipv6_addresses_are_written_in_brackets():
    assert str(Address.parse("[::1]:9190")) == "[::1]:9190"
    assert Address.parse("[::1]:9190").host == "::1"

from __future__ import annotations

import numpy as np
import pytest

from tests.rpc_servers import Server, build_server


@pytest.fixture(scope="session")
def server_binary(tmp_path_factory):
    pytest.importorskip("tvm", reason="the server runs TVM's modules")
    return build_server(tmp_path_factory.mktemp("server"))


@pytest.fixture
def server(server_binary, tmp_path):
    running = Server(server_binary, tmp_path / "server.log")
    yield running
    running.stop()


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A compiled network and its input."""
    from tests.runtime.arena_modules import build_stock, conv_chain

    path = build_stock(conv_chain(), tmp_path_factory.mktemp("model") / "model.so")
    return path, [np.random.default_rng(0).standard_normal((1, 8, 16, 16)).astype("float32")]

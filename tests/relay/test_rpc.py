"""A planned module, exported and served over RPC on this machine, gives the same outputs."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import tvm
from tvm import rpc
from tvm.contrib import graph_executor

import tvm_memopt as mo
from tests.relay.networks import two_branches
from tests.relay.running import inputs_of, outputs_of, same


def _with_one_argument():
    """In the server's process: the wheel's client sends three arguments, its server takes one."""
    import tvm
    from tvm.rpc import server

    make, name = server._server_env, "tvm.rpc.server.load_module"

    def environment(*arguments):
        temporary = make(*arguments)
        one = tvm.get_global_func(name)
        tvm.register_func(name, lambda path, *unused: one(path), override=True)
        return temporary

    server._server_env = environment


@cache
def network():
    mod, params = two_branches()
    return mod, params, outputs_of(mo.relay.build_unmodified(mod, None, params), inputs_of(mod, params))


@pytest.fixture
def session():
    from tvm.rpc.server import Server

    served = Server(host="127.0.0.1", port=9800, port_end=9990, silent=True, server_init_callback=_with_one_argument)
    try:
        yield rpc.connect("127.0.0.1", served.port, session_timeout=120)
    finally:
        served.terminate()


@pytest.mark.parametrize("executor", ["graph", "aot"])
def test_served_module_gives_the_same_outputs(executor, session, tmp_path):
    mod, params, expected = network()
    built = mo.relay.build(mod, params=params, executor=executor, time_limit=2)
    path = tmp_path / "module.so"
    built.factory.export_library(str(path))
    session.upload(str(path))
    factory = session.load_module(path.name)["default"](session.cpu(0))
    module = (tvm.runtime.executor.AotModule if executor == "aot" else graph_executor.GraphModule)(factory)
    for name, value in inputs_of(mod, params).items():
        module.set_input(name, value)
    module.run()
    assert same([np.asarray(module.get_output(i).numpy()) for i in range(len(expected))], expected)

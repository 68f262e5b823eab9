"""A planned module, exported and served over RPC on this machine, gives the same outputs."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import tvm
from tvm import auto_scheduler, relay, rpc
from tvm.contrib import graph_executor

import tvm_memopt as mo
from tests.relay.networks import two_branches
from tests.relay.running import inputs_of, outputs_of, same

SMALL = {"evolutionary_search_population": 16, "evolutionary_search_num_iters": 1, "sample_init_min_population": 8}


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


def served(factory, session, folder, executor, count):
    """Outputs of an exported module that the server has loaded."""
    path = folder / "module.so"
    factory.export_library(str(path))
    session.upload(str(path))
    made = session.load_module(path.name)["default"](session.cpu(0))
    module = (tvm.runtime.executor.AotModule if executor == "aot" else graph_executor.GraphModule)(made)
    for name, value in inputs_of(*network()[:2]).items():
        module.set_input(name, value)
    module.run()
    return [np.asarray(module.get_output(i).numpy()) for i in range(count)]


@pytest.mark.parametrize("executor", ["graph", "aot"])
def test_served_module_gives_the_same_outputs(executor, session, tmp_path):
    mod, params, expected = network()
    built = mo.relay.build(mod, params=params, executor=executor, time_limit=2)
    assert same(served(built.factory, session, tmp_path, executor, len(expected)), expected)


def test_served_tuned_and_planned_module_gives_the_outputs_of_the_tuned_one(session, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # TVM's task scheduler writes a file there
    pytest.importorskip("torch", reason="the network needs torch")
    mod, params, untuned = network()
    target, log = mo.relay.default_target(), str(tmp_path / "records.json")
    tasks, _ = auto_scheduler.extract_tasks(mod["main"], params, target)
    task = max(tasks, key=lambda task: task.compute_dag.flop_ct)
    recorded = [auto_scheduler.RecordToFile(log)]
    with mo.relay.default_cost_model("gcn"):
        options = auto_scheduler.TuningOptions(4, num_measures_per_round=4, measure_callbacks=recorded, verbose=0)
        auto_scheduler.TaskScheduler([task]).tune(options, search_policy_params=SMALL)
    plan = mo.relay.MemoryPlan(time_limit=2)
    outputs = []
    for instruments in ([], [plan]):
        config = {"relay.backend.use_auto_scheduler": True}
        with (
            auto_scheduler.ApplyHistoryBest(log),
            tvm.transform.PassContext(opt_level=3, config=config, instruments=instruments),
        ):
            factory = relay.build(mod, target, params=params)
        outputs.append(served(factory, session, tmp_path, "graph", len(untuned)))
    assert plan.plan.peak_live_nbytes > 0
    assert same(outputs[1], outputs[0])
    np.testing.assert_allclose(outputs[1][0], untuned[0], rtol=1e-4, atol=1e-4)

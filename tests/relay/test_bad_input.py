"""One clear line for what cannot work: targets, pools, plans for other modules, two TVMs in one environment."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import pytest
import tvm
from tvm import relay
from tvm.relay.backend import Runtime

import tvm_memopt as mo
from tests.relay.networks import chain, two_branches
from tvm_memopt.passes import versions
from tvm_memopt.passes.relay import usmp
from tvm_memopt.passes.relay.targets import may_miscompile


def one_line(error):
    assert "\n" not in str(error.value)


def test_target_without_the_option_warns_of_wrong_values():
    with pytest.warns(UserWarning, match="-enable-tbaa:bool=false the code generator.*can compute wrong values"):
        mo.relay.make_target("llvm -mtriple=x86_64-linux-gnu")


def test_default_target_has_the_option_and_a_triple():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        target = mo.relay.make_target(mo.relay.default_target())
    assert not may_miscompile(target)
    assert str(target.attrs["mtriple"]).endswith("-linux-gnu")


def test_unknown_target_is_one_line():
    with pytest.raises(mo.MemoptError, match="unknown to TVM") as error:
        mo.relay.make_target("nonsense")
    one_line(error)


def test_unknown_executor_is_one_line():
    mod, params = chain()
    with pytest.raises(mo.MemoptError, match="executor 'fast' is unknown, expected one of graph, aot, vm") as error:
        mo.relay.build(mod, params=params, executor="fast")
    one_line(error)


def test_plan_of_another_module_is_refused():
    other = mo.relay.build(*_split(chain()), time_limit=1).planned
    mod, params = two_branches()
    with pytest.raises(mo.MemoptError, match="the plan is for another module") as error:
        mo.relay.build(mod, params=params, plan=other.plan)
    one_line(error)


def _split(network):
    mod, params = network
    return mod, None, params


def test_two_tvms_in_one_environment_are_named(monkeypatch):
    monkeypatch.setattr(versions, "_version", lambda name: {"apache-tvm": "0.27", "hhb-tvm": "3.2.3"}[name])
    with pytest.raises(mo.MemoptError, match=r"apache-tvm 0\.27 and hhb-tvm 3\.2\.3 are installed in one") as error:
        versions.require_relay()
    one_line(error)


def test_relax_is_missing_here():
    with pytest.raises(mo.MemoptError, match="Relax is missing") as error:
        versions.require_relax()
    one_line(error)


def test_operator_that_relay_does_not_know_is_named(tmp_path):
    onnx = pytest.importorskip("onnx")
    from tvm_memopt.frontends.relay_import import import_relay

    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    result = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Frobnicate", ["x"], ["y"], name="frob")], "g", [value], [result]
    )
    path = tmp_path / "odd.onnx"
    onnx.save(onnx.helper.make_model(graph), str(path))
    with pytest.raises(mo.FrontendError, match="Frobnicate") as error:
        import_relay(path)
    one_line(error)


def pool(name, nbytes=-1):
    return SimpleNamespace(pool_name=name, size_hint_bytes=nbytes)


def test_pools_that_are_too_small_are_named():
    mod, params = two_branches()
    pools = tvm.WorkspaceMemoryPools(
        [tvm.ir.memory_pools.WorkspacePoolInfo("sram", [_target()], tvm.ir.memory_pools.PoolInfoProperties(1024))]
    )
    with (
        tvm.transform.PassContext(opt_level=3, config=mo.relay.usmp_config()),
        pytest.raises(mo.BudgetError, match="does not fit the pools sram of 1024 bytes") as error,
    ):
        relay.build(
            mod,
            _target(),
            params=params,
            executor=mo.relay.aot_executor(),
            runtime=Runtime("cpp"),
            workspace_memory_pools=pools,
        )
    one_line(error)


def _target():
    return mo.relay.default_target()


def test_algorithm_without_a_plan_still_places():
    first = SimpleNamespace(name_hint="a", size_bytes=64, alignment=16, pool_candidates=[pool("w")], conflicts=[])
    second = SimpleNamespace(name_hint="b", size_bytes=32, alignment=16, pool_candidates=[pool("w")], conflicts=[first])
    offsets, _, bound = usmp._place_workspace([first, second], mo.relay.RelayOptions(), None)
    assert sorted(offset for _, offset in offsets.values()) in ([0, 32], [0, 64])
    assert bound == 96

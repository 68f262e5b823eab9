"""Planned builds of small networks: outputs, order and addresses, on all executors."""

from __future__ import annotations

import json
from functools import cache

import pytest
import tvm
from tvm import relay
from tvm.relay.backend import Runtime

import tvm_memopt as mo
from tests.relay.networks import NETWORKS, branch_on_value, no_constants, two_branches, view_of_input
from tests.relay.running import inputs_of, outputs_of, same, workspace_nbytes
from tvm_memopt.graph import check, given_order, peak_live

EXECUTORS = ("graph", "aot", "vm")
RIVALS = ("greedy_by_size", "greedy_by_conflicts", "hill_climb")


@cache
def network(name):
    """The network, and the outputs of TVM's own build. Its executors give the same bits."""
    mod, params = NETWORKS[name]()
    return mod, params, outputs_of(mo.relay.build_unmodified(mod, None, params), inputs_of(mod, params))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("executor", EXECUTORS)
def test_outputs_equal_those_of_the_unmodified_build(name, executor):
    mod, params, expected = network(name)
    built = mo.relay.build(mod, params=params, executor=executor, time_limit=3)
    assert built.planned is not None
    assert same(outputs_of(built.factory, inputs_of(mod, params), executor), expected)
    check(built.planned.graph, built.planned.plan)
    if executor == "aot":
        assert workspace_nbytes(built.factory) == built.planned.plan.arena_nbytes


def test_reshaped_input_has_a_place_in_the_pool():
    mod, params = view_of_input()
    expected = outputs_of(mo.relay.build_unmodified(mod, None, params), inputs_of(mod, params))
    built = mo.relay.build(mod, params=params, executor="aot", time_limit=2)
    assert workspace_nbytes(built.factory) == built.planned.plan.arena_nbytes >= 4 * 768
    assert same(outputs_of(built.factory, inputs_of(mod, params), "aot"), expected)


def test_module_without_constants_keeps_the_order_alone():
    mod, params = no_constants()
    expected = outputs_of(mo.relay.build_unmodified(mod, None, params), inputs_of(mod, params))
    built = mo.relay.build(mod, params=params, executor="aot", time_limit=2)
    assert built.pools is None
    assert "the plan's order is kept, not its addresses" in built.notes[-1]
    assert same(outputs_of(built.factory, inputs_of(mod, params), "aot"), expected)


@pytest.mark.parametrize("name", ["two_branches", "unet", "repeated_block"])
def test_pool_is_never_above_the_best_of_tvms_algorithms(name):
    mod, params, _ = network(name)
    theirs = []

    @tvm.register_func("tir.usmp.algo.memopt_test_rivals", override=True)
    def place(buffers, pressure):
        for rival in RIVALS:
            placed = tvm.get_global_func(f"tir.usmp.algo.{rival}")(buffers, pressure)
            work = [(b, p) for b, p in placed.items() if "const" not in str(p.pool_info.pool_name)]
            theirs.append(max(int(p.byte_offset) + int(b.size_bytes) for b, p in work))
        return placed

    config = {**mo.relay.usmp_config(), "tir.usmp.custom_algorithm": "memopt_test_rivals"}
    with tvm.transform.PassContext(opt_level=3, config=config):
        executor = {"executor": mo.relay.aot_executor(), "runtime": Runtime("cpp")}
        relay.build(mod, mo.relay.default_target(), params=params, **executor)
    built = mo.relay.build(mod, params=params, executor="aot", time_limit=3)
    assert len(theirs) == len(RIVALS)
    assert workspace_nbytes(built.factory) <= min(theirs)


def channel_blocks(factory):
    """The second dimension of each kernel's result, in the order of execution."""
    graph = json.loads(factory.get_graph_json())
    shapes, pointer = graph["attrs"]["shape"][1], graph["node_row_ptr"]
    return [shapes[pointer[i]][1] for i, node in enumerate(graph["nodes"]) if node["op"] != "null"]


def test_instrument_in_a_plain_build_changes_the_order():
    mod, params, expected = network("two_branches")
    plan = mo.relay.MemoryPlan(time_limit=3)
    with tvm.transform.PassContext(opt_level=3, instruments=[plan]):
        factory = relay.build(mod, mo.relay.default_target(), params=params)
    calls = plan.planned.extraction.program.calls
    planned = [int(calls[op].outputs[0].type.shape[1]) for op in plan.planned.schedule]
    assert channel_blocks(factory) == planned
    given = given_order(plan.graph)
    assert tuple(plan.planned.schedule) != given
    assert plan.plan.peak_live_nbytes < peak_live(plan.graph, given)
    assert same(outputs_of(factory, inputs_of(mod, params)), expected)


@pytest.mark.parametrize("executor", ["graph", "aot"])
def test_three_calls_give_the_same_plan(executor):
    mod, params, expected = network("unet")
    target = mo.relay.default_target()
    given = {"executor": mo.relay.aot_executor(), "runtime": Runtime("cpp")} if executor == "aot" else {}
    with tvm.transform.PassContext(opt_level=3, config={"relay.FuseOps.link_params": executor == "aot"}):
        optimised, kept = relay.optimize(mod, target=target, params=params)
    planned_mod, planned = mo.relay.plan_module(optimised, target, executor=executor, time_limit=3)
    config = mo.relay.usmp_config() if executor == "aot" else {}
    with tvm.transform.PassContext(opt_level=3, config=config):
        factory = relay.build(planned_mod, target=target, params=kept, **given)
    if executor == "aot":
        assert workspace_nbytes(factory) == planned.plan.arena_nbytes
    assert same(outputs_of(factory, inputs_of(mod, params), executor), expected)


def test_budget_is_kept_by_recomputation():
    mod, params, expected = network("unet")
    built = mo.relay.build(mod, params=params, executor="aot", budget="75%", time_limit=5)
    plan = built.planned.plan
    assert len(built.planned.schedule) > len(built.planned.extraction.graph.ops)
    assert workspace_nbytes(built.factory) == plan.arena_nbytes <= plan.budget_nbytes
    assert plan.cost > plan.base_cost
    assert same(outputs_of(built.factory, inputs_of(mod, params), "aot"), expected)


@pytest.mark.parametrize("executor", ["graph", "vm"])
def test_recomputation_on_executors_without_an_arena(executor):
    mod, params, expected = network("unet")
    built = mo.relay.build(mod, params=params, executor=executor, budget="80%", time_limit=5)
    assert len(built.planned.schedule) > len(built.planned.extraction.graph.ops)
    if executor == "graph":
        assert built.storage.nbytes <= built.planned.plan.budget_nbytes
    assert same(outputs_of(built.factory, inputs_of(mod, params), executor), expected)


@pytest.mark.parametrize(("budget", "message"), [("5%", "cannot be met"), ("-1", "expected"), ("many", "expected")])
def test_errors_of_the_planner_come_out_of_relay_build(budget, message):
    mod, params = two_branches()
    plan = mo.relay.MemoryPlan(budget=budget, time_limit=2)
    context = tvm.transform.PassContext(opt_level=3, instruments=[plan])
    with context, pytest.raises(mo.BudgetError, match=message) as error:
        relay.build(mod, mo.relay.default_target(), params=params)
    assert "\n" not in str(error.value)


def test_control_flow_is_left_alone_with_a_note():
    mod, params = branch_on_value()
    built = mo.relay.build(mod, params=params, executor="vm", time_limit=2)
    assert built.planned is None
    assert "it contains an If" in built.notes[0]
    theirs = outputs_of(mo.relay.build_unmodified(mod, None, params, executor="vm"), inputs_of(mod, params), "vm")
    assert same(outputs_of(built.factory, inputs_of(mod, params), "vm"), theirs)


def test_strict_and_budgets_refuse_what_cannot_be_planned():
    mod, params = branch_on_value()
    for options in ({"strict": True}, {"budget": "50%"}):
        with pytest.raises(mo.MemoptError, match="cannot be planned: it contains an If"):
            mo.relay.build(mod, params=params, executor="vm", **options)


def test_module_survives_export(tmp_path):
    mod, params, expected = network("tuples")
    built = mo.relay.build(mod, params=params, time_limit=2)
    path = tmp_path / "module.so"
    built.factory.export_library(str(path))
    assert same(outputs_of(tvm.runtime.load_module(str(path)), inputs_of(mod, params)), expected)


def test_plan_of_one_executor_does_not_depend_on_a_build_for_another():
    """Both lower the same function, but with different passes."""
    data = relay.var("x", shape=(1, 3, 16, 16))
    weight = relay.var("w", shape=(8, 3, 3, 3))
    options = {"channels": 8, "kernel_size": (3, 3), "padding": (1, 1)}
    result = relay.nn.conv2d(relay.nn.relu(data), weight, **options)
    mod = relay.transform.InferType()(tvm.IRModule.from_expr(relay.Function([data, weight], result + relay.const(1.0))))
    sizes = []
    for first in ("aot", "graph"):
        mo.relay.build(mod, params={}, executor=first, time_limit=1)
        sizes.append(mo.relay.build(mod, params={}, executor="aot", time_limit=1).planned.plan.arena_nbytes)
    assert sizes[0] == sizes[1]

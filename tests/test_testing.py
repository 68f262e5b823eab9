"""The assertions for other people's tests: they hold where they should, and fail with one clear line."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tvm_memopt as mo
from tests.cli.small_models import two_branches
from tvm_memopt import testing
from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import Allocation, Graph, Op, Plan, Tensor, plan_to_json, read_graph
from tvm_memopt.solvers import solve

KIB = 1024
FIVE_BUFFERS = read_graph(Path(__file__).parent.parent / "docs" / "five_buffers.json")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return mo.import_model(two_branches(tmp_path_factory.mktemp("model") / "model.onnx"))


@pytest.fixture(scope="module")
def optimised(model):
    """(planned module, plan)."""
    return mo.optimize(model, "llvm")


def _one_line(caught):
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def test_a_right_plan_is_valid_for_its_graph():
    testing.assert_valid(solve(FIVE_BUFFERS), FIVE_BUFFERS)


def test_a_wrong_plan_is_not_and_the_first_broken_rule_is_named():
    plan = solve(FIVE_BUFFERS)
    wrong = replace(plan, schedule=plan.schedule[::-1])
    with pytest.raises(AssertionError) as caught:
        testing.assert_valid(wrong, FIVE_BUFFERS)
    message = _one_line(caught)
    assert "plan of 'five-buffers' breaks" in message
    assert "step" in message


def test_a_plan_needs_its_graph():
    with pytest.raises(MemoptError, match="pass it as the second argument"):
        testing.assert_valid(solve(FIVE_BUFFERS))


def test_a_planned_module_is_valid_and_so_is_one_that_is_planned_on_the_way(model, optimised):
    testing.assert_valid(optimised[0])
    testing.assert_valid(model)


def test_a_planned_module_with_a_wrong_plan_is_not_valid(optimised):
    planned, plan = optimised
    wrong = replace(plan, arena_nbytes=plan.arena_nbytes + 64)
    module = planned.clone()
    module["main"] = planned["main"].with_attr("memopt.plan", plan_to_json(wrong))
    with pytest.raises(AssertionError, match=r"\[wrong-arena\]"):
        testing.assert_valid(module)


def test_a_planned_module_without_its_plan_cannot_be_judged(optimised):
    module = optimised[0].clone()
    module["main"] = optimised[0]["main"].without_attr("memopt.graph")
    with pytest.raises(MemoptError, match=r"carries no plan: expected one that mo\.optimize returned"):
        testing.assert_valid(module)


def test_the_arena_is_read_off_the_module_itself(model, optimised):
    planned, plan = optimised
    assert testing.arena_nbytes(planned) == {"main": plan.arena_nbytes}
    testing.assert_arena_below(planned, plan.arena_nbytes)
    testing.assert_arena_below(model, plan.arena_nbytes)
    with pytest.raises(MemoptError, match="no planned function"):
        testing.arena_nbytes(model)


def test_an_arena_that_is_too_large_is_told_with_both_numbers(optimised):
    planned, plan = optimised
    with pytest.raises(AssertionError) as caught:
        testing.assert_arena_below(planned, plan.arena_nbytes - 1)
    message = _one_line(caught)
    assert message.startswith(f"function 'main': the arena has {plan.arena_nbytes} bytes")
    assert message.endswith(f"expected at most {plan.arena_nbytes - 1}")


def test_outputs_of_a_planned_module_are_the_same(model, optimised):
    testing.assert_same_outputs(model, optimised[0])


def test_outputs_for_given_inputs_are_compared(model, optimised):
    image = np.full((1, 3, 16, 16), 0.5, "float32")
    testing.assert_same_outputs(model, optimised[0], [image], exec_modes=["bytecode"])


def test_other_outputs_are_told_with_mode_and_input(model, optimised, tmp_path):
    import onnx
    from onnx import numpy_helper

    path = two_branches(tmp_path / "other.onnx")
    changed = onnx.load(path)
    weight = changed.graph.initializer[0]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 2, weight.name))
    onnx.save(changed, path)
    with pytest.raises(AssertionError) as caught:
        testing.assert_same_outputs(mo.import_model(path), optimised[0], exec_modes=["bytecode"])
    message = _one_line(caught)
    assert message == "outputs differ from the unmodified build (bytecode mode, input set 0)"


def test_dead_bytes_follow_the_plan():
    plan = solve(FIVE_BUFFERS)
    last = len(plan.schedule) - 1
    expected = {(a.last, a.offset, a.nbytes) for a in plan.allocations if a.last < last}
    assert set(testing.dead_after(FIVE_BUFFERS, plan)) == expected
    assert expected


def _plan_in_given_order(graph, *lives):
    allocations = tuple(Allocation(tensor, first, last, 0, nbytes) for tensor, first, last, nbytes in lives)
    schedule = tuple(range(len(graph.ops)))
    return Plan(graph.name, schedule, allocations, 1, 8 * KIB, 8 * KIB, 0.0, 0.0, "feasible")


def test_bytes_that_an_in_place_output_took_over_stay_out_of_the_dead():
    tensors = (Tensor("a", 8 * KIB), Tensor("b", 2 * KIB), Tensor("c", KIB))
    ops = (
        Op("make", (), (0,), cost=1.0),
        Op("halve", (0,), (1,), cost=1.0, inplace=((0, 1),)),
        Op("end", (1,), (2,), cost=1.0, inplace=((1, 2),)),
    )
    graph = Graph("in-place", tensors, ops, (2,))
    plan = _plan_in_given_order(graph, (0, 0, 1, 8 * KIB), (1, 1, 2, 2 * KIB), (2, 2, 2, KIB))
    assert testing.dead_after(graph, plan) == [(1, 2 * KIB, 6 * KIB)]


def test_a_tensor_without_bytes_takes_nothing_over():
    tensors = (Tensor("a", 8 * KIB), Tensor("b", 2 * KIB), Tensor("none", 0), Tensor("c", KIB))
    ops = (
        Op("make", (), (0,), cost=1.0),
        Op("halve", (0,), (1, 2), cost=1.0, inplace=((0, 1),)),
        Op("end", (1, 2), (3,), cost=1.0),
    )
    graph = Graph("empty", tensors, ops, (3,))
    plan = _plan_in_given_order(graph, (0, 0, 1, 8 * KIB), (1, 1, 2, 2 * KIB), (2, 1, 2, 0), (3, 2, 2, KIB))
    assert testing.dead_after(graph, plan) == [(1, 2 * KIB, 6 * KIB)]


def test_views_do_not_count_as_kernel_calls():
    tensors = (Tensor("a", KIB), Tensor("view", KIB, alias_of=0), Tensor("b", KIB), Tensor("c", KIB))
    ops = (
        Op("make", (), (0,), cost=1.0),
        Op("reshape", (0,), (1,), cost=0.0),
        Op("read", (1,), (2,), cost=1.0),
        Op("end", (2,), (3,), cost=1.0),
    )
    graph = Graph("views", tensors, ops, (3,))
    plan = _plan_in_given_order(graph, (0, 0, 2, KIB))
    assert testing.dead_after(graph, plan) == [(1, 0, KIB)]  # read is the second kernel

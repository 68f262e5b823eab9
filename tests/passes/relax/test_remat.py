"""Schedules that run an op more than once: each reader gets the instance that is alive where it runs."""

from __future__ import annotations

import pytest
from tvm import relax
from tvm.script import ir as I
from tvm.script import relax as R

from tests.passes.relax.running import HOST, MODES, extracted, optimised, random_arrays
from tvm_memopt import testing
from tvm_memopt.graph import find_violations, given_order
from tvm_memopt.passes.build import build_unmodified
from tvm_memopt.runtime import measure_memory, outputs_equal, poison_run, run_module
from tvm_memopt.solvers import Deadline, Request, plan_for_order

INPUTS = random_arrays([(64, 64)])


@I.ir_module
class LongSkip:
    """``a`` is read at the start and at the end; ``view`` is a view of it."""

    @R.function
    def main(x: R.Tensor((64, 64), "float32")) -> R.Tensor((64, 64), "float32"):
        with R.dataflow():
            a = R.nn.softmax(x)
            flat = R.reshape(a, (4096,))
            s = R.nn.softmax(flat)
            b = R.matmul(R.reshape(s, (64, 64)), x)
            c = R.matmul(b, x)
            d = R.matmul(c, x)
            e = R.nn.softmax(flat)
            f = R.matmul(R.reshape(e, (64, 64)), d)
            g = R.matmul(f, a)
            R.output(g)
        return g


def with_repeats(graph, before):
    """The given order with the first op and its view once more in front of op ``before``."""
    schedule = []
    for op in given_order(graph):
        if op == before:
            schedule += [0, 1]
        schedule.append(op)
    return schedule


@pytest.fixture(scope="module")
def graph():
    return extracted(LongSkip).graph


@pytest.fixture(scope="module")
def recomputed(graph):
    last_reader = max(graph.readers[graph.ops[0].outputs[0]])
    plan = plan_for_order(graph, with_repeats(graph, last_reader), Request(time_limit=1), Deadline(1))
    assert not find_violations(graph, plan)
    return plan


def test_recomputing_shortens_a_life(graph, recomputed):
    once = plan_for_order(graph, given_order(graph), Request(time_limit=1), Deadline(1))
    assert len(recomputed.schedule) == len(graph.ops) + 2
    assert recomputed.cost > recomputed.base_cost == once.cost
    instances = [a for a in recomputed.allocations if a.tensor == graph.ops[0].outputs[0]]
    assert len(instances) == 2
    assert sum(a.last - a.first for a in instances) < len(graph.ops) - 1


@pytest.mark.parametrize("mode", MODES)
def test_a_recomputed_tensor_gives_equal_outputs(mode, recomputed):
    planned, used = optimised(LongSkip, plan=recomputed)
    assert used == recomputed
    built = relax.build(planned, HOST, exec_mode=mode)
    assert outputs_equal(
        run_module(built, INPUTS), run_module(build_unmodified(LongSkip, HOST, exec_mode=mode), INPUTS)
    )


def test_the_repeated_kernel_really_runs_twice(recomputed):
    planned, _ = optimised(LongSkip, plan=recomputed)
    calls = planned["main"].script()
    first = recomputed.schedule[0]
    name = extracted(LongSkip).operations[first].callee
    assert sum(line.strip().startswith((f"{name}(", f"{name}_inplace(")) for line in calls.splitlines()) == 2
    assert measure_memory(relax.build(planned, HOST), INPUTS).arena_nbytes == recomputed.arena_nbytes


def test_bytes_that_the_plan_calls_dead_are_dead(graph, recomputed):
    planned, _ = optimised(LongSkip, plan=recomputed)
    expected = run_module(build_unmodified(LongSkip, HOST), INPUTS)
    dead = testing.dead_after(graph, recomputed)
    assert dead
    found = poison_run(relax.build(planned, HOST), INPUTS, dead, expected=expected)
    assert found.clean


def test_every_op_of_a_chain_may_be_repeated():
    @I.ir_module
    class Chain:
        @R.function
        def main(x: R.Tensor((64, 64), "float32")) -> R.Tensor((64, 64), "float32"):
            a = R.matmul(x, x)
            b = R.nn.relu(a)
            c = R.matmul(b, x)
            d = R.exp(c)
            e = R.matmul(d, b)
            return R.add(e, c)

    graph = extracted(Chain).graph
    assert len(graph.ops) == 6
    schedule = [0, 1, 0, 1, 2, 0, 1, 2, 3, 0, 1, 4, 2, 5]
    plan = plan_for_order(graph, schedule, Request(time_limit=1), Deadline(1))
    assert not find_violations(graph, plan)
    planned, _ = optimised(Chain, plan=plan)
    assert outputs_equal(
        run_module(relax.build(planned, HOST), INPUTS), run_module(build_unmodified(Chain, HOST), INPUTS)
    )

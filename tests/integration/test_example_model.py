"""The example network, whole: equal outputs, the arena that was planned, and an oracle that notices a cut life."""

from dataclasses import replace

import pytest

from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import find_violations, given_order, peak_live, working_set_bound
from tvm_memopt.runtime import measure_memory, outputs_equal, poison_run, run_module
from tvm_memopt.testing import dead_after


@pytest.fixture(scope="module")
def measured(example, interposer):
    return {
        "bytecode": measure_memory(example.planned["bytecode"], example.inputs),
        "compiled": measure_memory(example.planned["compiled"], example.inputs),
        "unmodified": measure_memory(example.unmodified, example.inputs),
    }


@pytest.mark.parametrize("mode", ["bytecode", "compiled"])
def test_outputs_are_those_of_the_unmodified_build(example, mode):
    assert len(example.expected) > 1
    assert outputs_equal(run_module(example.planned[mode], example.inputs), example.expected)


def test_the_plan_is_valid_and_better_than_the_given_order(example):
    bound, _ = working_set_bound(example.graph)
    assert not find_violations(example.graph, example.plan)
    assert bound <= example.plan.arena_nbytes < peak_live(example.graph, given_order(example.graph))


@pytest.mark.parametrize("mode", ["bytecode", "compiled"])
def test_the_runtime_allocates_exactly_the_planned_arena(example, measured, mode):
    assert measured[mode].arena_nbytes == example.plan.arena_nbytes
    assert measured[mode].storage_nbytes == example.plan.arena_nbytes
    assert measured[mode].growth_nbytes == 0


@pytest.mark.parametrize("mode", ["bytecode", "compiled"])
def test_no_more_bytes_are_allocated_than_by_the_unmodified_build(measured, mode):
    def total(memory):
        return memory.storage_nbytes + memory.returned_nbytes + memory.workspace_requested_nbytes

    assert measured[mode].returned_nbytes == measured["unmodified"].returned_nbytes
    assert total(measured[mode]) <= total(measured["unmodified"])
    assert measured[mode].peak_nbytes <= measured["unmodified"].peak_nbytes


def test_bytes_that_the_plan_calls_dead_are_never_read_again(example):
    events = dead_after(example.graph, example.plan)
    result = poison_run(example.planned["bytecode"], example.inputs, events, expected=example.expected)
    assert result.clean
    assert result.arena_nbytes == example.plan.arena_nbytes
    assert result.poisoned_nbytes == sum(nbytes for _, _, nbytes in events) > example.plan.arena_nbytes


@pytest.mark.parametrize("which", [0, 0.5, 1])
def test_a_life_that_was_cut_by_hand_is_noticed(example, which):
    """``last`` of one tensor is set before its last reader: first, middle and last of those that can be cut."""
    lives = example.plan.allocations
    long = [i for i, a in enumerate(lives) if a.tensor is not None and _calls_between(example, a) > 0]
    cut = long[round(which * (len(long) - 1))]
    wrong = replace(
        example.plan,
        allocations=tuple(replace(a, last=a.first) if i == cut else a for i, a in enumerate(lives)),
    )
    assert find_violations(example.graph, wrong)
    events = dead_after(example.graph, wrong)
    assert set(events) - set(dead_after(example.graph, example.plan))
    assert _notices(example, events)


def _calls_between(example, allocation):
    """Kernels, not views, that run between a tensor's producer and its last reader, that reader included."""
    ops = [example.graph.ops[op] for op in example.plan.schedule[allocation.first + 1 : allocation.last + 1]]
    views = [op for op in ops if all(example.graph.tensors[t].alias_of is not None for t in op.outputs)]
    read = any(example.graph.root[t] == allocation.tensor for op in ops if op not in views for t in op.inputs)
    return len(ops) - len(views) if read else 0


def _notices(example, events):
    """Outputs differ, or a kernel that was fed poison came to grief."""
    try:
        module = example.planned["bytecode"]
        result = poison_run(module, example.inputs, events, expected=example.expected, isolate=True)
    except MemoptError as error:
        return "was ended by" in str(error)  # a signal, in the process of its own
    return bool(result.differing)

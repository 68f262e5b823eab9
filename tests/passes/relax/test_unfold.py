"""TVM's own loops come back where the arena has room for their scratch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tvm
from tvm import relax
from tvm.relax import op

import tvm_memopt as mo
from tests.passes.relax import networks
from tests.passes.relax.running import HOST, one_function, random_arrays, tensor
from tvm_memopt import testing
from tvm_memopt.passes.build import build_unmodified
from tvm_memopt.passes.compile import lower
from tvm_memopt.passes.relax.planning import FunctionPlan, PlanOptions, emit_module, solve_module
from tvm_memopt.passes.tir.form_times import FormTimes
from tvm_memopt.passes.tir.statements import nbytes_of
from tvm_memopt.runtime import measure_memory, outputs_equal, poison_run, run_module

INPUTS = random_arrays([(1, 4, 12, 12)])


def wide_end() -> tvm.IRModule:
    """A small padded convolution before an operation that needs far more memory."""
    x = tensor("x", (1, 4, 12, 12))

    def body(b: relax.BlockBuilder) -> relax.Expr:
        small = b.emit(op.nn.relu(b.emit(op.nn.conv2d(x, networks.constant(4, 4, 3, 3), padding=1))))
        flat = b.emit(op.reshape(small, (24, 24)))
        square = b.emit(op.matmul(b.emit(op.permute_dims(flat)), flat))
        wide = b.emit(op.concat([square] * 8, axis=0))
        return op.sum(b.emit(op.matmul(wide, flat)), axis=[0])

    return one_function([x], body)


def only_a_convolution() -> tvm.IRModule:
    x = tensor("x", (1, 4, 12, 12))
    return one_function([x], lambda b: op.nn.conv2d(x, networks.constant(4, 4, 3, 3), padding=1))


def planned(module: tvm.IRModule, fold: str, **options):
    lowered, target = lower(module, HOST)
    with target:
        found = solve_module(lowered, target, PlanOptions(time_limit=1, fold_data_movement=fold, **options))
    return found, emit_module(lowered, found, caller_arena=False)


@pytest.fixture(scope="module")
def roomy():
    return planned(wide_end(), "auto")


def test_a_kernel_with_room_gets_its_own_loops_back(roomy):
    function = roomy[0].functions["main"]
    (name,) = function.unfolded
    assert "conv2d" in name
    assert function.unfolded[name].kernel is function.kernels[name] is roomy[0].forms[name].fast
    assert function.kernels[name].workspace_nbytes == 4 * 4 * 14 * 14


def test_the_scratch_lies_in_free_bytes_of_the_arena(roomy):
    function = roomy[0].functions["main"]
    for unfolded in function.unfolded.values():
        for step, offsets in unfolded.offsets.items():
            held = [a for a in function.plan.allocations if a.first <= step <= a.last and a.tensor is not None]
            ranges = [(a.offset, a.end) for a in held if a.nbytes]
            for offset, buffer in zip(offsets, unfolded.kernel.workspace, strict=True):
                end = offset + nbytes_of(buffer)
                assert offset % 64 == 0
                assert end <= function.plan.arena_nbytes
                assert all(end <= low or high <= offset for low, high in ranges)
                ranges.append((offset, end))


def test_no_byte_more_is_used_than_in_the_folded_form(roomy):
    always = planned(wide_end(), "always")[0].functions["main"]
    assert not always.unfolded
    assert roomy[0].functions["main"].plan.arena_nbytes == always.plan.arena_nbytes


def slowed(monkeypatch: pytest.MonkeyPatch, rows: float, small: float) -> None:
    """Every kernel takes ``rows`` and ``small`` times its own time in these forms."""
    prices = {"rows": rows, "small": small}
    monkeypatch.setattr(FormTimes, "_find", lambda _times, _name, form: prices[form])


def test_a_fold_that_costs_nothing_is_taken(monkeypatch):
    slowed(monkeypatch, rows=1.0, small=1.0)
    function = planned(only_a_convolution(), "auto")[0].functions["main"]
    assert function.plan.arena_nbytes == 0
    assert all(kernel.scratch_nbytes == 0 for kernel in function.kernels.values())


def test_a_fold_that_costs_time_is_not_taken_by_default(monkeypatch):
    slowed(monkeypatch, rows=2.0, small=4.0)
    found = planned(only_a_convolution(), "auto")[0]
    (name,) = found.forms
    function = found.functions["main"]
    assert function.kernels[name].workspace_nbytes == found.forms[name].fast.workspace_nbytes == 4 * 4 * 14 * 14
    assert function.folds == ()


def test_a_fold_that_costs_time_is_taken_under_a_budget(monkeypatch):
    slowed(monkeypatch, rows=2.0, small=4.0)
    found = planned(only_a_convolution(), "auto", budget=1024)[0].functions["main"]
    assert found.plan.arena_nbytes <= 1024
    assert "of its time in TVM's own loops" in found.folds[0]


def test_a_budget_with_room_folds_nothing(monkeypatch):
    slowed(monkeypatch, rows=2.0, small=4.0)
    found = planned(only_a_convolution(), "auto", budget=4096)[0].functions["main"]
    assert found.folds == ()
    assert found.plan.arena_nbytes == 4 * 4 * 14 * 14


def test_a_plan_is_followed_with_the_forms_that_it_was_made_for(monkeypatch):
    slowed(monkeypatch, rows=2.0, small=4.0)
    made = planned(only_a_convolution(), "auto")[0].functions["main"]
    followed = planned(only_a_convolution(), "auto", plan=made.plan)[0].functions["main"]
    assert followed.plan == made.plan
    assert [k.workspace_nbytes for k in followed.kernels.values()] == [4 * 4 * 14 * 14]


@pytest.mark.parametrize("fold", ["auto", "never"])
def test_every_choice_gives_equal_outputs_and_no_scratch_of_tvms(fold):
    found, module = planned(wide_end(), fold)
    plan = found.functions["main"].plan
    built = relax.build(module, HOST)
    expected = run_module(build_unmodified(wide_end(), HOST), INPUTS)
    assert outputs_equal(run_module(built, INPUTS), expected)
    measured = measure_memory(built, INPUTS)
    assert (measured.arena_nbytes, measured.workspace_requested_nbytes) == (plan.arena_nbytes, 0)


def test_scratch_overwrites_nothing_that_lives(roomy):
    function = roomy[0].functions["main"]
    found = poison_run(relax.build(roomy[1], HOST), INPUTS, testing.dead_after(function.graph, function.plan))
    assert found.clean


def searched(*, interrupted: bool, **options) -> tuple[list[float], FunctionPlan]:
    """The time limit of each search for a plan of a convolution, the first of them interrupted or not, and the plan."""
    limits: list[float] = []

    def search(graph, request):
        limits.append(request.time_limit)
        plan = mo.solve(graph, replace(request, time_limit=0.2))
        mark = interrupted and len(limits) == 1
        return replace(plan, solver={**plan.solver, "interrupted": mark})

    lowered, target = lower(only_a_convolution(), HOST)
    with target:
        return limits, solve_module(lowered, target, PlanOptions(time_limit=1, **options), search).functions["main"]


def test_no_search_starts_after_an_interrupt(monkeypatch):
    slowed(monkeypatch, rows=2.0, small=4.0)
    limits, found = searched(interrupted=True)
    assert len(limits) > 1
    assert max(limits[1:]) < 0.02  # of the second that there is: no more than placing what is known
    assert found.plan.solver["interrupted"]
    assert found.folds == ()  # and still it costs no time


def test_an_interrupted_plan_within_its_budget_is_kept(monkeypatch):
    slowed(monkeypatch, rows=2.0, small=4.0)
    limits, found = searched(interrupted=True, budget=4096)
    assert len(limits) == 1
    assert found.plan.solver["interrupted"]


def test_all_searches_together_keep_the_time_limit(monkeypatch):
    slowed(monkeypatch, rows=2.0, small=4.0)
    limits, _ = searched(interrupted=False)
    assert len(limits) > 1
    assert limits[0] < 1
    assert sum(limits[1:]) <= 1.05

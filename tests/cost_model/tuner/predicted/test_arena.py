"""Scratch of schedules does not enlarge the arena, and the arena measured at run time is the plan's."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tvm.relax")
import tvm
from tvm import relax, s_tir

from tvm_memopt.cost_model.data.programs import Task
from tvm_memopt.cost_model.measure.builds import host_target
from tvm_memopt.cost_model.tuner.predicted.choices import Choice, Found
from tvm_memopt.cost_model.tuner.predicted.kernel_search import plain
from tvm_memopt.cost_model.tuner.predicted.scheduler import PredictedSchedules
from tvm_memopt.errors import InfeasibleBudgetError
from tvm_memopt.passes.build import build_planned, build_unmodified
from tvm_memopt.passes.relax.planning import PlanOptions
from tvm_memopt.runtime import measure_memory

TARGET = host_target(1)
ROWS, COLUMNS = 64, 96
SCRATCH = 4 * COLUMNS * COLUMNS
BUDGET = 2 * 4 * ROWS * COLUMNS + SCRATCH // 2


def _model() -> tvm.IRModule:
    """Two matrix products. The first output, the largest tensor, dies before the last op."""
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((ROWS, COLUMNS), "float32"))
    weights = [relax.const(np.ones((COLUMNS, COLUMNS), "float32") / n) for n in (70, 90)]
    with builder.function("main", [x]):
        with builder.dataflow():
            first = builder.emit(relax.op.matmul(x, weights[0]))
            second = builder.emit(relax.op.matmul(first, weights[1]))
            output = builder.emit_output(relax.op.sum(second, axis=1))
        builder.emit_func_output(output)
    return builder.get()


def _trace(mod: tvm.IRModule, *, whole: bool) -> object:
    """A schedule that reads from a copy of the weights, of all of them or of one column."""
    schedule = s_tir.Schedule(mod)
    block = schedule.get_sblock("matmul")
    copied = schedule.cache_read(block, 1, "global")
    if not whole:
        schedule.compute_at(copied, schedule.get_loops(block)[1])
    return plain(schedule.trace.as_json())


class _Given(PredictedSchedules):
    """Schedules for matrix products: the fastest, by what is claimed, needs scratch for all weights."""

    def search(self, tasks: list[Task], _target: tvm.target.Target) -> tuple[list[Task], dict[str, Found]]:
        found = {}
        for task in tasks:
            if "matmul" in task.name:
                fast, lean = (_trace(task.mod, whole=whole) for whole in (True, False))
                choices = (Choice(1.0, SCRATCH, fast), Choice(2.0, 0, lean))
                found[task.name] = Found(Choice(9.0, 0, None), choices)
        return tasks, found


def _built(tmp_path: Path, options: PlanOptions) -> tuple[PredictedSchedules, int, int]:
    """The source, the arena of the plan, and the arena measured at run time. Outputs are checked."""
    source = _Given(cache_folder=tmp_path)
    build = build_planned(_model(), TARGET, options, schedules=source)
    x = np.random.default_rng(0).random((ROWS, COLUMNS)).astype("float32")
    expected = relax.VirtualMachine(build_unmodified(_model(), TARGET), tvm.cpu())["main"](tvm.runtime.tensor(x))
    found = relax.VirtualMachine(build.executable, tvm.cpu())["main"](tvm.runtime.tensor(x))
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-5)
    measured = measure_memory(build.executable, [x])
    assert measured.workspace_requested_nbytes == 0
    return source, build.planned.functions["main"].plan.arena_nbytes, measured.arena_nbytes


def test_the_arena_is_not_larger_than_without_schedules(tmp_path: Path) -> None:
    unscheduled = build_planned(_model(), TARGET, PlanOptions()).planned.functions["main"].plan.arena_nbytes
    source, arena, measured = _built(tmp_path, PlanOptions())
    assert arena == measured
    assert arena <= unscheduled
    taken = [source.choice(name).seconds for name in source.found]
    assert 2.0 in taken  # the fastest with less scratch, rather than no schedule
    assert source.scheduled == len(taken)


def test_a_budget_allows_a_larger_arena(tmp_path: Path) -> None:
    source, arena, measured = _built(tmp_path, PlanOptions(budget=10 * SCRATCH))
    assert arena == measured
    assert {source.choice(name).seconds for name in source.found} == {1.0}


def test_a_budget_that_only_leaner_schedules_meet_is_met(tmp_path: Path) -> None:
    source, arena, measured = _built(tmp_path, PlanOptions(budget=BUDGET, split="never", overlap="never"))
    assert arena == measured <= BUDGET
    assert 2.0 in [source.choice(name).seconds for name in source.found]


def test_a_budget_that_nothing_meets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InfeasibleBudgetError):
        _built(tmp_path, PlanOptions(budget=64))

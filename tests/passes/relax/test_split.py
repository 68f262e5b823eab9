"""Kernels run their stages band by band where the options and the price allow it."""

from __future__ import annotations

import pytest
import tvm
from tvm import relax
from tvm.relax import op

from tests.passes.relax import networks
from tests.passes.relax.running import HOST, assert_planned_right, one_function, tensor
from tvm_memopt.errors import MemoptError
from tvm_memopt.passes.compile import lower
from tvm_memopt.passes.relax.planning import FunctionPlan, PlanOptions, solve_module
from tvm_memopt.passes.tir.form_times import FormTimes

ROWS, COLUMNS = 32, 512
TENSOR_NBYTES = ROWS * COLUMNS * 4


def gelu_between_products() -> tvm.IRModule:
    """The GELU's scratch and the tensor that its output takes the place of are most of the memory."""
    x = tensor("x", (ROWS, 16))

    def body(b: relax.BlockBuilder) -> relax.Expr:
        wide = b.emit(op.matmul(x, networks.constant(16, COLUMNS)))
        batch = b.emit(op.nn.gelu(b.emit(op.reshape(wide, (1, ROWS, COLUMNS)))))
        return op.matmul(b.emit(op.reshape(batch, (ROWS, COLUMNS))), networks.constant(COLUMNS, 16))

    return one_function([x], body)


@pytest.fixture
def price(monkeypatch):
    """Sets the run time of split kernels, relative to TVM's own loops."""

    def set_price(value: float) -> None:
        monkeypatch.setattr(FormTimes, "_find", lambda _times, _name, form: value if "split" in form else 5.0)

    return set_price


def planned(split: str, **options: object) -> FunctionPlan:
    lowered, target = lower(gelu_between_products(), HOST)
    with target:
        return solve_module(lowered, target, PlanOptions(time_limit=2, split=split, **options)).functions["main"]


def test_a_free_split_saves_the_scratch_and_a_tensor(price):
    price(1.0)
    whole, split = planned("never"), planned("auto")
    assert whole.plan.arena_nbytes >= 2 * TENSOR_NBYTES
    assert split.plan.arena_nbytes <= 1.1 * TENSOR_NBYTES
    assert any("runs its stages band by band" in note and "1.00 of its time" in note for note in split.folds)
    assert planned("free").plan.arena_nbytes == split.plan.arena_nbytes


def test_a_split_that_costs_time_needs_a_budget(price):
    price(3.0)
    whole = planned("never").plan.arena_nbytes
    assert planned("auto").plan.arena_nbytes == whole
    budget = whole - TENSOR_NBYTES // 2
    within = planned("auto", budget=budget)
    assert within.plan.status in ("optimal", "feasible")
    assert within.plan.arena_nbytes <= budget
    assert planned("free", budget=budget).plan.status in ("infeasible", "unknown")


def test_splits_do_not_depend_on_folds(price):
    price(1.0)
    for fold in ("never", "always"):
        assert planned("auto", fold_data_movement=fold).plan.arena_nbytes <= 1.1 * TENSOR_NBYTES


def test_an_unknown_mode_is_refused():
    with pytest.raises(MemoptError, match="split is 'perhaps', expected one of never, free, auto"):
        planned("perhaps")


def test_the_outputs_are_those_of_the_unmodified_build(price):
    price(1.0)
    _, plan = assert_planned_right(gelu_between_products())
    assert plan.arena_nbytes <= 1.1 * TENSOR_NBYTES

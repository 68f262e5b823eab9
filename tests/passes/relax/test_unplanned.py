"""A module of which no function can be planned: compiled as TVM does, with a note."""

from __future__ import annotations

import logging

import pytest
import tvm
from tvm.script import ir as I
from tvm.script import relax as R

import tvm_memopt as mo
from tests.passes.relax.running import HOST, random_arrays
from tvm_memopt.passes.build import build_unmodified
from tvm_memopt.passes.pipeline import plan_arena, reorder_calls
from tvm_memopt.runtime import outputs_equal, run_module

INPUTS = random_arrays([(16, 64), (64, 64)])


@I.ir_module
class Before:
    @R.function
    def main(x: R.Tensor((16, 64), "float32"), w: R.Tensor((64, 64), "float32")) -> R.Tensor((16, 64), "float32"):
        R.func_attr({"memopt.planned": 1})
        y = R.matmul(x, w)
        return R.nn.softmax(R.matmul(R.nn.softmax(y), w))


def test_the_pipeline_compiles_it_as_tvm_does_and_warns(caplog):
    planned = []
    with caplog.at_level(logging.WARNING, "tvm_memopt"):
        built = tvm.compile(Before, HOST, relax_pipeline=mo.pipeline(on_planned=planned.append))
    assert "planned already" in caplog.text
    assert not planned[0].functions
    assert outputs_equal(run_module(built, INPUTS), run_module(build_unmodified(Before, HOST), INPUTS))


def test_the_pipeline_refuses_it_when_strict_and_under_a_budget():
    with pytest.raises(mo.MemoptError, match="nothing of this module can be planned"):
        tvm.compile(Before, HOST, relax_pipeline=mo.pipeline(strict=True))
    with pytest.raises(mo.BudgetError, match="no budget can be kept"):
        tvm.compile(Before, HOST, relax_pipeline=mo.pipeline("64KiB"))


def test_each_pass_leaves_it_as_it_is():
    from tvm_memopt.passes.compile import lower

    lowered, target = lower(Before, HOST)
    with target:
        for one in (plan_arena(), reorder_calls()):
            tvm.ir.assert_structural_equal(one(lowered), lowered)

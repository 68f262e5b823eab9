"""Small inputs of common kinds that once cost time: planned by default, equal bit for bit, without index tests."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
import tvm_ffi
from tvm import tirx

from tests.cases.make_cases import write_case

pytest.importorskip("onnx")

from tvm_memopt import import_model
from tvm_memopt.passes.build import build_planned, build_unmodified
from tvm_memopt.passes.relax.planning import PlanOptions
from tvm_memopt.runtime import measure_memory, outputs_equal, run_module

CASES = {
    "first_conv": ((1, 3, 224, 224), "float32"),
    "decoder": ((1, 8, 16, 16), "float32"),
    "half": ((1, 8, 16, 16), "float16"),
    "conv3d": ((1, 2, 8, 16, 16), "float32"),
}


def planned(name, folder, fold):
    shape, dtype = CASES[name]
    write_case(name, folder)
    mod = import_model(folder / f"{name}.onnx", {"x": shape})
    inputs = [np.random.default_rng(0).standard_normal(shape).astype(dtype)]
    target = tvm.target.Target("llvm")
    return mod, build_planned(mod, target, PlanOptions(time_limit=2, fold_data_movement=fold)), inputs


@pytest.mark.parametrize("fold", ["auto", "always"])
@pytest.mark.parametrize("name", CASES)
def test_outputs_are_equal_and_the_arena_is_the_plans(name, fold, tmp_path):
    mod, build, inputs = planned(name, tmp_path, fold)
    expected = run_module(build_unmodified(mod, build.target), inputs)
    assert outputs_equal(run_module(build.executable, inputs), expected)
    measured = measure_memory(build.executable, inputs)
    assert measured.arena_nbytes == build.planned.functions["main"].plan.arena_nbytes


@pytest.mark.parametrize("name", ["first_conv", "decoder"])
def test_folded_loops_test_no_index(name, tmp_path):
    _, build, _ = planned(name, tmp_path, "always")
    kernels = build.planned.functions["main"].kernels
    (convolution,) = [kernel for key, kernel in kernels.items() if "conv2d" in key]
    choices: list[tvm.ir.Call] = []

    def note(call: tvm.ir.Call) -> None:
        if getattr(call.op, "name", "").endswith("if_then_else"):
            choices.append(call)

    tvm_ffi.structural_walk(convolution.func.body, (tvm.ir.Call, note))
    stores: list[tirx.BufferStore] = []
    tvm_ffi.structural_walk(convolution.func.body, (tirx.BufferStore, stores.append))
    assert stores
    assert choices == []

"""Programs for Hexagon under QEMU: they need qemu-hexagon, clang and lld."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import tvm
from tvm import te, tirx

import tvm_memopt as mo
from tests.export.models import MODELS
from tvm_memopt.errors import MemoptError
from tvm_memopt.export.build import export_program, run_exported, unmodified_storage
from tvm_memopt.export.document import program_document, read_document
from tvm_memopt.export.kernels import compile_kernels
from tvm_memopt.export.link import link_program
from tvm_memopt.export.placement import misplaced
from tvm_memopt.export.platforms import platform_for
from tvm_memopt.export.program import KernelCall, StaticProgram, Value, View
from tvm_memopt.frontends import random_inputs
from tvm_memopt.passes.build import build_unmodified
from tvm_memopt.runtime import outputs_equal, run_module
from tvm_memopt.targets.emulator.install import set_up_hexagon

pytestmark = pytest.mark.emulator


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    set_up_hexagon(print)


@pytest.fixture(scope="module")
def target() -> tvm.target.Target:
    return tvm.target.Target(dict(mo.device_profile("hexagon-v66").target))


@pytest.mark.parametrize("name", MODELS)
def test_a_planned_model_is_right_at_the_offsets_of_its_plan(
    name: str, target: tvm.target.Target, tmp_path: Path
) -> None:
    mod = MODELS[name](tmp_path)
    planned, plan = mo.optimize(mod, target, time_limit=2, narrow="always")
    export_program(planned, target, tmp_path / "planned.elf")
    export_program(unmodified_storage(mod, target), target, tmp_path / "unmodified.elf")
    inputs = [np.asarray(value) for value in random_inputs(mod, 1)]
    found = run_exported(tmp_path / "planned.elf", inputs)
    unmodified = run_exported(tmp_path / "unmodified.elf", inputs)
    assert outputs_equal(found.outputs, unmodified.outputs)
    for ours, host in zip(
        found.outputs, run_module(build_unmodified(mod, tvm.target.Target("llvm")), inputs), strict=True
    ):
        np.testing.assert_allclose(ours.astype("float64"), host, rtol=1e-4, atol=1e-5)
    assert misplaced(read_document(tmp_path / "planned.elf"), found) == []
    assert found.arena_nbytes == plan.arena_nbytes
    assert found.touched_nbytes <= plan.arena_nbytes
    assert all(one.instructions >= one.packets > 0 for one in found.counts)


def test_counts_are_the_same_in_each_run(target: tvm.target.Target, tmp_path: Path) -> None:
    mod = MODELS["int8"](tmp_path)
    export_program(mo.optimize(mod, target, time_limit=1)[0], target, tmp_path / "model.elf")
    inputs = [np.asarray(value) for value in random_inputs(mod, 1)]
    first, second = (run_exported(tmp_path / "model.elf", inputs) for _ in range(2))
    assert first.counts == second.counts


def _elementwise(functions: list[str], dtype: str, n: int, target: tvm.target.Target, path: Path) -> None:
    """A program that gives its input to each function of the C library."""

    def kernel(name: str) -> tirx.PrimFunc:
        x = te.placeholder((n,), dtype, "x")
        called = name + "f" * (dtype == "float32")
        return te.create_prim_func([x, te.compute((n,), lambda i: tirx.call_pure_extern(dtype, called, x[i]))])

    source = View("input", 0, 0, (n,), dtype)
    results = [View("storage", i, 0, (n,), dtype) for i in range(len(functions))]
    calls = tuple(KernelCall(name, (source, result)) for name, result in zip(functions, results, strict=True))
    nbytes = tuple(result.nbytes for result in results)
    program = StaticProgram("main", (Value("x", (n,), dtype),), tuple(results), calls, (), nbytes, 0)
    kernels = compile_kernels(tvm.IRModule({name: kernel(name) for name in functions}), program, target)
    link_program(program, kernels, program_document(program, {}), platform_for(target), path)


REFERENCES = {  # the largest error in units in the last place, for float32 and float64
    "exp": (np.exp, 1, 2), "exp2": (np.exp2, 1, 2), "log": (np.log, 1, 3), "log2": (np.log2, 1, 3),
    "log10": (np.log10, 1, 3), "log1p": (np.log1p, 1, 3), "expm1": (np.expm1, 1, 3), "sqrt": (np.sqrt, 0.5, 0.5),
    "sin": (np.sin, 1, 3), "cos": (np.cos, 1, 3), "tan": (np.tan, 1, 4), "atan": (np.arctan, 1, 3),
    "asin": (np.arcsin, 1, 3), "acos": (np.arccos, 1, 3), "sinh": (np.sinh, 1, 3), "cosh": (np.cosh, 1, 3),
    "tanh": (np.tanh, 1, 3), "asinh": (np.arcsinh, 1, 3), "acosh": (np.arccosh, 1, 3), "atanh": (np.arctanh, 1, 3),
    "floor": (np.floor, 0, 0), "ceil": (np.ceil, 0, 0), "trunc": (np.trunc, 0, 0), "nearbyint": (np.rint, 0, 0),
    "erf": (lambda x: torch.erf(torch.tensor(x.astype("float64"))).numpy(), 3, 4),
    "erfc": (lambda x: torch.erfc(torch.tensor(x.astype("float64"))).numpy(), 1, 12),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mathematics_is_that_of_the_c_library_but_for_rounding(
    dtype: str, target: tvm.target.Target, tmp_path: Path
) -> None:
    special = [0.0, -0.0, 1, -1, 0.5, -0.5, 2, 1e-30, -1e-30, 1e-42, 100, -100, 700, -800, np.inf, -np.inf, np.nan]
    x = np.concatenate([np.random.default_rng(0).uniform(-20, 20, 1000), special]).astype(dtype)
    _elementwise(list(REFERENCES), dtype, len(x), target, tmp_path / "math.elf")
    found = run_exported(tmp_path / "math.elf", [x]).outputs
    wide = x.astype("float64" if dtype == "float32" else np.longdouble)
    for (name, (reference, *ulps)), ours in zip(REFERENCES.items(), found, strict=True):
        with np.errstate(all="ignore"):
            exact = reference(wide)
            rounded = exact.astype(dtype)
            finite = np.isfinite(rounded)
            error = np.abs(ours.astype(wide.dtype) - exact)[finite] / np.spacing(np.abs(rounded[finite]))
        assert error.max() <= ulps[dtype == "float64"] + 1e-6, name
        np.testing.assert_array_equal(ours[~finite], rounded[~finite], name)


def test_a_function_that_programs_lack_is_named(target: tvm.target.Target, tmp_path: Path) -> None:
    with pytest.raises(MemoptError, match="linking failed: a kernel calls y0f, which programs"):
        _elementwise(["y0"], "float32", 8, target, tmp_path / "bessel.elf")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "float64"])
def test_division_and_remainder_are_exact(dtype: str, target: tvm.target.Target, tmp_path: Path) -> None:
    n, random = 512, np.random.default_rng(2)
    a, b = te.placeholder((n,), dtype, "a"), te.placeholder((n,), dtype, "b")
    divide = (lambda x, y: x / y) if dtype == "float64" else tirx.truncdiv
    rest = (lambda x, y: x * y) if dtype == "float64" else tirx.truncmod
    kernels = {
        "quotient": te.create_prim_func([a, b, te.compute((n,), lambda i: divide(a[i], b[i]))]),
        "rest": te.create_prim_func([a, b, te.compute((n,), lambda i: rest(a[i], b[i]))]),
    }
    sources = [View("input", i, 0, (n,), dtype) for i in range(2)]
    results = [View("storage", i, 0, (n,), dtype) for i in range(2)]
    calls = tuple(KernelCall(name, (*sources, result)) for name, result in zip(kernels, results, strict=True))
    values = tuple(Value(name, (n,), dtype) for name in "ab")
    program = StaticProgram("main", values, tuple(results), calls, (), tuple(r.nbytes for r in results), 0)
    objects = compile_kernels(tvm.IRModule(kernels), program, target)
    link_program(program, objects, program_document(program, {}), platform_for(target), tmp_path / "divide.elf")
    if dtype == "float64":
        x, y = (np.ldexp(random.uniform(-1, 1, n), random.integers(-520, 520, n)) for _ in range(2))
        expected = [x / y, x * y]
    else:
        x = random.integers(np.iinfo(dtype).min + 1, np.iinfo(dtype).max, n).astype(dtype)
        y = np.where(random.random(n) < 0.5, random.integers(1, 12, n), random.integers(-128, -1, n)).astype(dtype)
        expected = [np.trunc(x.astype(object) / y).astype(dtype) if dtype != "int64" else _quotients(x, y)]
        expected.append((x.astype(object) - expected[0].astype(object) * y.astype(object)).astype(dtype))
    found = run_exported(tmp_path / "divide.elf", [x, y]).outputs
    for ours, exact in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, exact)


def _quotients(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Exact quotients of integers, rounded towards zero."""
    signs = np.where((x < 0) == (y < 0), 1, -1)
    return np.array([s * (abs(int(a)) // abs(int(b))) for a, b, s in zip(x, y, signs, strict=True)], x.dtype)

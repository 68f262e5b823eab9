from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import Graph, Plan
from tvm_memopt.runtime import run_module

MODEL = Path(__file__).parents[2] / "examples" / "models" / "basic_pitch.onnx"
SHAPE = {"serving_default_input_2:0": (1, 43844, 1)}


@dataclass(frozen=True)
class Example:
    """The example model in files: planned for both modes of the machine, and left alone, with its outputs then."""

    graph: Graph
    plan: Plan
    planned: Mapping[str, Path]
    unmodified: Path
    inputs: list[np.ndarray]
    expected: tuple[np.ndarray, ...]


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    pytest.importorskip("onnxruntime", reason="the example model is folded through onnxruntime")
    from tvm_memopt.frontends import import_model, random_inputs
    from tvm_memopt.passes.build import build_planned, build_unmodified, export_module
    from tvm_memopt.passes.compile import make_target
    from tvm_memopt.passes.relax.planning import PlanOptions

    mod, target = import_model(MODEL, SHAPE), make_target("llvm")
    inputs = random_inputs(mod, 0)
    builds = {mode: build_planned(mod, target, PlanOptions(), exec_mode=mode) for mode in ("bytecode", "compiled")}
    executables = {mode: build.executable for mode, build in builds.items()}
    executables["unmodified"] = build_unmodified(mod, target)
    folder = tmp_path_factory.mktemp("example")
    for name, executable in executables.items():
        export_module(executable, folder / f"{name}.so", target)
    found = builds["bytecode"].planned.functions["main"]
    return Example(
        graph=found.graph,
        plan=found.plan,
        planned={mode: folder / f"{mode}.so" for mode in builds},
        unmodified=folder / "unmodified.so",
        inputs=inputs,
        expected=run_module(folder / "unmodified.so", inputs),
    )


@pytest.fixture(scope="session")
def interposer() -> Path:
    from tvm_memopt.runtime.interposer import build_interposer

    try:
        return build_interposer()
    except MemoptError as error:
        pytest.skip(str(error))

"""Relax modules planned, compiled and held against TVM's own fusing build."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tvm
from tvm import relax

import tvm_memopt as mo
from tvm_memopt import testing
from tvm_memopt.graph import Graph, Plan
from tvm_memopt.passes.compile import lower
from tvm_memopt.passes.relax.extract import Extraction
from tvm_memopt.passes.relax.planning import PlanOptions, extract_module
from tvm_memopt.runtime import run_module

HOST = tvm.target.Target("llvm")
MODES = ("bytecode", "compiled")
SECONDS = 2.0


def random_arrays(shapes: Sequence[Sequence[int]], seed: int = 0) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [generator.standard_normal(shape).astype("float32") for shape in shapes]


def optimised(mod: tvm.IRModule, target: tvm.target.Target = HOST, **options: object) -> tuple[tvm.IRModule, Plan]:
    return mo.optimize(mod, target, time_limit=SECONDS, **options)


def extracted(mod: tvm.IRModule, **options: object) -> Extraction:
    """What the package sees of ``main``."""
    lowered, target = lower(mod, HOST)
    with target:
        return extract_module(lowered, target, PlanOptions(**options)).functions["main"]


def assert_planned_right(
    mod: tvm.IRModule,
    inputs: Sequence[np.ndarray] | None = None,
    modes: Sequence[str] = MODES,
    target: tvm.target.Target = HOST,
    **options: object,
) -> tuple[tvm.IRModule, Plan]:
    """Plan ``mod``; the plan is valid and the outputs are those of TVM's own build, bit for bit."""
    planned, plan = optimised(mod, target, **options)
    testing.assert_valid(planned)
    testing.assert_same_outputs(mod, planned, inputs, target=target, seeds=(0,), exec_modes=modes)
    return planned, plan


def run_twice(executable: object, inputs: Sequence[np.ndarray]) -> list[bytes]:
    """Outputs of two calls of one machine, the first kept over the second."""
    from tvm_memopt.runtime.execute import call, to_arrays, to_tensors
    from tvm_memopt.runtime.loading import entry, load_machine

    main = entry(load_machine(executable), "main")
    first = call(main, to_tensors(inputs))
    call(main, to_tensors([np.zeros_like(a) for a in inputs]))
    again = call(main, to_tensors(inputs))
    return [b"".join(a.tobytes() for a in to_arrays(v)) for v in (first, again)]


def outputs(executable: object, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    return list(run_module(executable, inputs))


def arena_tensors(graph: Graph) -> set[str]:
    """Names of the operations whose outputs have bytes of their own in the arena."""
    return {op.name for op in graph.ops for t in op.outputs if graph.planned[t]}


def one_function(inputs: Sequence[relax.Var], body: Callable[[relax.BlockBuilder], relax.Expr]) -> tvm.IRModule:
    """A module whose ``main`` is one dataflow block."""
    builder = relax.BlockBuilder()
    with builder.function("main", list(inputs)):
        with builder.dataflow():
            result = builder.emit_output(body(builder))
        builder.emit_func_output(result)
    return builder.get()


def tensor(name: str, shape: Sequence[int], dtype: str = "float32") -> relax.Var:
    return relax.Var(name, relax.TensorType(list(shape), dtype))

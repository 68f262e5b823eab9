"""Training programs: random pipelines of many stages, and the kernels of real models."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, prod
from typing import TYPE_CHECKING

import numpy as np

from tvm_memopt.cost_model.data.program_draft import Draft
from tvm_memopt.cost_model.data.program_stages import stages_for
from tvm_memopt.errors import MemoptError

if TYPE_CHECKING:
    import tvm
    import tvm.s_tir
    from tvm import te

FEWEST_STAGES, MOST_STAGES = 3, 30
# Elementary operations of a whole program: 0.05 to 20 ms on a core that does one or two per nanosecond.
_WORK = (2e5, 2e7)
_LEAST_WORK = 1e5
_ATTEMPTS = 200
_LARGEST = 2**18
_TRIES = 400


@dataclass(frozen=True)
class Task:
    """A program to schedule: a module with ``main``. ``weight``: calls per run of its model; ``stages``: its blocks."""

    name: str
    mod: tvm.IRModule
    weight: int
    origin: str
    stages: int


def random_task(seed: int, index: int) -> Task:
    """The random program with this index. The same seed and index give the same program."""
    from tvm import te

    for attempt in range(_ATTEMPTS):
        rng = np.random.default_rng([seed, index, attempt])
        wanted = round(exp(rng.uniform(log(FEWEST_STAGES), log(MOST_STAGES))))
        work = exp(rng.uniform(log(_WORK[0]), log(_WORK[1])))
        draft = _draft(rng, wanted, work)
        if len(draft.stages) >= FEWEST_STAGES and work - draft.budget >= _LEAST_WORK:
            import tvm

            function = te.create_prim_func([*draft.inputs, *_outputs(draft)])
            return Task(f"random_{seed}_{index}", tvm.IRModule({"main": function}), 1, "random", len(draft.stages))
    raise AssertionError(f"no program came of seed {seed}, index {index}")  # a bug: most attempts succeed


def model_tasks(mod: tvm.IRModule, target: tvm.target.Target, name: str) -> list[Task]:
    """The distinct kernels of a Relax module.

    They are lowered by this package's own pipeline, so that a build of the model finds their schedules again. Raises
    MemoptError if there are none.
    """
    import tvm

    from tvm_memopt.passes.relax.lowering import passes_until_fusion

    with target:
        fused = tvm.transform.Sequential(passes_until_fusion(target))(mod)
    found = fused_tasks(fused, target, name)
    if not found:
        raise MemoptError(f"{name}: has no kernels to tune: expected a Relax module with operators that lower to TIR")
    return found


def fused_tasks(fused: tvm.IRModule, target: tvm.target.Target, name: str) -> list[Task]:
    """The distinct kernels of a fused Relax module."""
    from tvm.s_tir import meta_schedule as ms

    found = ms.relax_integration.extract_tasks(fused, target)
    return [
        Task(f"{i}_{task.task_name}", task.dispatched[0], int(task.weight), name, block_count(task.dispatched[0]))
        for i, task in enumerate(found)
    ]


def block_count(mod: tvm.IRModule) -> int:
    """Number of blocks that store something, which are the stages of a program."""
    import tvm.s_tir
    import tvm_ffi

    found: list[tvm.s_tir.SBlock] = []
    for function in mod.functions.values():
        tvm_ffi.structural_walk(function, [(tvm.s_tir.SBlock, found.append)])
    return sum(len(block.writes) > 0 for block in found)


def _draft(rng: np.random.Generator, wanted: int, work: float) -> Draft:
    largest = int(min(_LARGEST, max(256.0, 2 * work / wanted)))
    draft = Draft(rng, bool(rng.random() < 0.85), work, largest)
    draft.tensors.append(draft.placeholder(_first_shape(draft)))
    for _ in range(_TRIES):
        if len(draft.stages) >= wanted or draft.budget <= 0:
            break
        _grow(draft)
    return draft


def _first_shape(draft: Draft) -> tuple[int, ...]:
    elements = exp(draft.rng.uniform(log(max(64, draft.largest / 32)), log(draft.largest)))
    if draft.chance(0.65):
        channels = min(draft.choose((1, 3, 4, 8, 16, 24, 32, 64)), int(elements / 16) or 1)
        side = max(4, round((elements / channels) ** 0.5))
        return (1, channels, side, max(4, round(side * draft.choose((0.5, 1.0, 1.0, 1.0, 2.0)))))
    columns = max(4, round(elements ** draft.rng.uniform(0.3, 0.7)))
    return (max(2, round(elements / columns)), columns)


def _grow(draft: Draft) -> None:
    """Add an operator to the newest tensor, or sometimes to an older one. Does nothing if it does not apply."""
    newest = len(draft.tensors) - 1
    chosen = newest if draft.chance(0.75) else int(draft.rng.integers(len(draft.tensors)))
    source, inputs, consumed = draft.tensors[chosen], len(draft.inputs), set(draft.consumed)
    stage = draft.choose(stages_for(len(source.shape), draft.is_float))
    result = stage(draft, source)
    added = {} if result is None else _new_stages(result, draft.stages)
    work = sum(map(_work, added.values()))
    fits = (
        result is not None
        and bool(added)
        and work <= draft.budget
        and prod(int(extent) for extent in result.shape) <= draft.largest
    )
    if not fits or len(draft.stages) + len(added) > MOST_STAGES:
        del draft.inputs[inputs:]
        draft.consumed = consumed
        return
    draft.budget -= work
    draft.stages.update(added)
    draft.consumed.add(chosen)
    draft.tensors.append(result)


def _new_stages(tensor: te.Tensor, known: set[int]) -> dict[int, te.tensor.Operation]:
    """Stages needed to compute a tensor that are not yet in ``known``, by identity."""
    added: dict[int, te.tensor.Operation] = {}
    waiting = [tensor.op]
    while waiting:
        op = waiting.pop()
        if op.input_tensors and hash(op) not in known and hash(op) not in added:
            added[hash(op)] = op
            waiting.extend(source.op for source in op.input_tensors)
    return added


def _work(op: te.tensor.Operation) -> float:
    """Output points of a stage times its reduction points."""
    from tvm import sym

    analyzer = sym.Analyzer()
    reduced = prod(int(analyzer.simplify(axis.dom.extent)) for axis in op.reduce_axis)
    return float(prod(map(int, op.output(0).shape)) * max(reduced, 1))


def _outputs(draft: Draft) -> list[te.Tensor]:
    computed = [t for i, t in enumerate(draft.tensors) if i not in draft.consumed and t.op.input_tensors]
    return computed or [draft.tensors[-1]]

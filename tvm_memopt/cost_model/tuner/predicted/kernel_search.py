"""The search for one kernel: TVM's evolutionary search with pessimistic predictions as its fitness."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule as ms

from tvm_memopt.cost_model.features.extract import extract
from tvm_memopt.cost_model.measure.sampling import candidate_hash
from tvm_memopt.cost_model.network.predictor import Trained
from tvm_memopt.cost_model.tuner.design_space import cpu_design_space
from tvm_memopt.cost_model.tuner.predicted.choices import Choice, Found
from tvm_memopt.cost_model.tuner.predicted.guards import sound
from tvm_memopt.cost_model.tuner.predicted.pessimism import Pessimist
from tvm_memopt.native_output import native_stderr_discarded
from tvm_memopt.passes.tir.threads import fit_threads
from tvm_memopt.passes.tir.workspace import kernel_forms

_KEPT = 32  # candidates whose spread is estimated
_LOWERED = 8  # of them, candidates whose scratch is measured
_LEAST_GAIN = 0.05  # ln of the speed-up below which a kernel keeps its unscheduled form


@dataclass(frozen=True)
class Effort:
    """Size of a search: ``population`` candidates in each of ``generations`` + 1 rounds."""

    population: int
    generations: int


@derived_object
class _Archive(ms.cost_model.PyCostModel):  # type: ignore[misc]
    """Fitness for MetaSchedule that remembers the best candidates it has scored."""

    def __init__(self, pessimist: Pessimist) -> None:
        super().__init__()
        self.pessimist = pessimist
        self.best: list[tuple[float, int, tvm.s_tir.Schedule]] = []  # a heap, the worst first
        self._seen: set[int] = set()

    def load(self, path: str) -> None:
        """Nothing is kept between searches."""

    def save(self, path: str) -> None:
        """Nothing is kept between searches."""

    def update(self, context: ms.TuneContext, candidates: Sequence[Any], results: Sequence[Any]) -> None:
        """Nothing is measured."""

    def predict(self, _context: ms.TuneContext, candidates: Sequence[ms.MeasureCandidate]) -> np.ndarray:
        """The speed-up over the unscheduled kernel; nearly zero for a candidate that a guard rejects."""
        if not candidates:
            return np.zeros(0)
        graphs = extract([candidate.sch.mod for candidate in candidates])
        fine = sound(graphs)
        gains = np.where(fine, self.pessimist.gains(graphs), -60.0)
        for number in np.flatnonzero(fine & (gains > _LEAST_GAIN)).tolist():
            self._keep(float(gains[number]), candidates[number].sch)
        return np.asarray(np.exp(np.clip(gains, -60.0, 30.0)))

    def _keep(self, gain: float, schedule: tvm.s_tir.Schedule) -> None:
        if len(self.best) >= _KEPT and gain <= self.best[0][0]:
            return
        key = candidate_hash(schedule.mod)
        if key in self._seen:
            return
        self._seen.add(key)
        heapq.heappush(self.best, (gain, key, schedule))
        if len(self.best) > _KEPT:
            heapq.heappop(self.best)


def search_kernel(
    mod: tvm.IRModule, target: tvm.target.Target, trained: Trained, effort: Effort, seed: int = 0
) -> Found:
    """Search schedules of the function ``main`` of ``mod``. Nothing is built or measured. Deterministic in ``seed``.

    Run it within cpu_intrinsics.
    """
    pessimist = Pessimist(trained, extract([mod]))
    archive = _Archive(pessimist)
    _evolve(mod, target, archive, effort, seed)
    unscheduled = Choice(pessimist.seconds, _scratch_nbytes(mod, target) or 0, None)
    return Found(unscheduled, _front(archive, target, unscheduled.seconds, seed))


def _evolve(mod: tvm.IRModule, target: tvm.target.Target, archive: _Archive, effort: Effort, seed: int) -> None:
    strategy = ms.search_strategy.EvolutionarySearch(
        population_size=effort.population, init_measured_ratio=0.0, init_min_unmeasured=min(16, effort.population),
        max_fail_count=3, genetic_num_iters=effort.generations, genetic_max_fail_count=2, eps_greedy=0.0,
    )  # fmt: skip
    context = ms.TuneContext(
        mod=mod, target=target, space_generator=cpu_design_space(), search_strategy=strategy, task_name="main",
        num_threads=1, rand_state=seed % (2**31 - 2) + 1, logger=logging.getLogger("tvm_memopt.tuning"),
    )  # fmt: skip
    count = min(16, effort.population)
    context.pre_tuning(count, count, context.generate_design_space(), ms.database.MemoryDatabase(), archive)
    context.generate_measure_candidates()
    context.post_tuning()


def _front(archive: _Archive, target: tvm.target.Target, unscheduled: float, seed: int) -> tuple[Choice, ...]:
    """Of the best candidates, those that no other beats in both predicted time and scratch."""
    if not archive.best:
        return ()
    schedules = [schedule for _, _, schedule in sorted(archive.best, key=lambda entry: (-entry[0], entry[1]))]
    bounds = archive.pessimist.bounds(extract([schedule.mod for schedule in schedules]), seed)
    found: list[Choice] = []
    for number in np.argsort(-bounds, kind="stable")[:_LOWERED]:
        if bounds[number] <= _LEAST_GAIN:
            break
        nbytes = _scratch_nbytes(schedules[number].mod, target)
        if nbytes is None or (found and nbytes >= found[-1].scratch_nbytes):
            continue
        trace = plain(schedules[number].trace.as_json())
        found.append(Choice(unscheduled * float(np.exp(-bounds[number])), nbytes, trace))
    return tuple(found)


def _scratch_nbytes(mod: tvm.IRModule, target: tvm.target.Target) -> int | None:
    """Scratch of the kernel as it will be planned. None: TVM cannot lower it."""
    try:
        with native_stderr_discarded():
            function = fit_threads(mod, target)["main"]
            return kernel_forms({"main": function}, target)["main"].fast.scratch_nbytes
    except (RuntimeError, ValueError, TypeError):
        return None


def plain(value: Any) -> Any:
    """Containers and numbers of TVM as JSON has them."""
    if isinstance(value, (str, bool, int, float)) or value is None:
        return value
    if hasattr(value, "items"):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "__iter__"):
        return [plain(item) for item in value]
    return plain(value.value)  # a constant of TVM

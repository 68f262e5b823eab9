"""The search for one kernel: an evolution of the decisions of its sketches, with pessimistic predictions as fitness."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import tvm

from tvm_memopt.cost_model.features.columns import BUFFER, STACK_NBYTES
from tvm_memopt.cost_model.features.extract import Graphs, extract
from tvm_memopt.cost_model.network.inference import Predictor
from tvm_memopt.cost_model.tuner.predicted.choices import Choice, Found
from tvm_memopt.cost_model.tuner.predicted.guards import sound
from tvm_memopt.cost_model.tuner.predicted.mutation import mixed, mutated
from tvm_memopt.cost_model.tuner.predicted.pessimism import Pessimist
from tvm_memopt.cost_model.tuner.predicted.sketches import Built, Decisions, Sketch, fitted, sketches
from tvm_memopt.graph.bounds import align_up
from tvm_memopt.native_output import native_stderr_discarded
from tvm_memopt.passes.tir.threads import fit_threads
from tvm_memopt.passes.tir.workspace import WORKSPACE_ALIGNMENT, kernel_forms

_BATCH = 16  # candidates predicted at once
_PARENTS, _LEAN_PARENTS = 9, 3
_LEAN_NBYTES = 2**16  # scratch that most arenas have room for
_TOLD = 6  # decisions handed to searches of similar kernels
_PATIENCE = 3  # batches without gain that end a search
_FINALISTS = 16  # candidates whose spread is estimated
_LEAST_GAIN = 0.05  # ln of the speed-up below which a kernel keeps its unscheduled form

Start: TypeAlias = tuple[str, Decisions]
"""The signature of a sketch, and good decisions for it."""


@dataclass(frozen=True)
class Effort:
    """Limits of a search: candidates that are predicted, and seconds. It ends before, once nothing gains."""

    candidates: int
    seconds: float = float("inf")


@dataclass(frozen=True)
class SearchResult:
    """``starts``: the best decisions, for searches of similar kernels and for a longer search of this one."""

    found: Found
    starts: tuple[Start, ...]


@dataclass(frozen=True)
class _Candidate:
    gain: float
    scratch_nbytes: int
    sketch: Sketch
    built: Built


def search_kernel(
    mod: tvm.IRModule, target: tvm.target.Target, predictor: Predictor, effort: Effort, seed: int = 0,
    starts: Sequence[Start] = (),
) -> SearchResult:  # fmt: skip
    """Search schedules of the function ``main`` of ``mod``. Nothing is built or measured.

    ``starts``: decisions to try first. Deterministic in ``seed`` unless the seconds end it. Run it within
    cpu_intrinsics.
    """
    ends = time.monotonic() + effort.seconds
    pessimist = Pessimist(predictor, extract([mod]))
    evolution = _Evolution(sketches(mod, target), pessimist, np.random.default_rng(seed), ends)
    evolution.run(effort.candidates, starts)
    unscheduled = Choice(pessimist.seconds, _scratch_nbytes(mod["main"], target) or 0, None)
    choices = _front(evolution.found, pessimist, target, seed)
    return SearchResult(Found(unscheduled, choices), evolution.best_decisions())


@dataclass
class _Evolution:
    """A population of all candidates so far, whose best are the parents of the next batch."""

    sketches: Sequence[Sketch]
    pessimist: Pessimist
    rng: np.random.Generator
    ends: float
    found: list[_Candidate] = field(default_factory=list)
    _tried: set[tuple[int, Decisions]] = field(default_factory=set)
    _built: int = 0

    def run(self, most: int, starts: Sequence[Start]) -> None:
        """Predict up to ``most`` candidates."""
        self._take(self._first(starts, most))
        best, patience = self._best(), _PATIENCE
        while patience and self._built < most and time.monotonic() < self.ends and self.found:
            if not self._take(self._children(min(_BATCH, most - self._built))):
                return
            patience = patience - 1 if self._best() < best + 0.01 else _PATIENCE
            best = self._best()

    def best_decisions(self) -> tuple[Start, ...]:
        """Decisions of the best candidates."""
        return tuple((one.sketch.signature, one.built.decisions) for one in self._parents()[:_TOLD] if one.sketch.slots)

    def _best(self) -> float:
        return max((one.gain for one in self.found), default=-np.inf)

    def _parents(self) -> list[_Candidate]:
        """The best candidates, and the best of those with little scratch."""
        ranked = sorted(self.found, key=lambda one: -one.gain)
        lean = [one for one in ranked[_PARENTS:] if one.scratch_nbytes <= _LEAN_NBYTES]
        return ranked[:_PARENTS] + lean[:_LEAN_PARENTS]

    def _first(self, starts: Sequence[Start], most: int) -> Iterator[tuple[int, Built]]:
        """Given decisions, then random ones: half of the candidates. A sketch without decisions is one candidate."""
        for number, sketch in enumerate(self.sketches):
            drawn = max(1, most // (2 * len(self.sketches))) if sketch.slots else 1
            like: Decisions | None = None
            for _ in range(drawn):
                if (built := self._build(number, None)) is not None:
                    like = like or built.decisions
                    yield number, built
            if like is None:
                continue
            for decisions in (given for signature, given in starts if signature == sketch.signature):
                if (built := self._build(number, fitted(decisions, like, sketch.slots))) is not None:
                    yield number, built

    def _children(self, count: int) -> Iterator[tuple[int, Built]]:
        parents = [one for one in self._parents() if one.sketch.slots]
        for _ in range(count if parents else 0):
            parent, other = (parents[int(len(parents) * self.rng.random() ** 2)] for _ in range(2))
            number, draw = self.sketches.index(parent.sketch), self.rng.random()
            if draw < 0.1:
                decisions: Decisions | None = None
            elif draw < 0.3 and other.sketch is parent.sketch and other is not parent:
                decisions = mixed(parent.built.decisions, other.built.decisions, self.rng)
            else:
                decisions = mutated(parent.built.decisions, parent.sketch.slots, self.rng)
            if (built := self._build(number, decisions)) is not None:
                yield number, built

    def _build(self, number: int, decisions: Decisions | None) -> Built | None:
        if time.monotonic() >= self.ends or (number, decisions) in self._tried:
            return None
        if decisions is not None:
            self._tried.add((number, decisions))
        self._built += 1
        return self.sketches[number].build(decisions, int(self.rng.integers(2**31)))

    def _take(self, candidates: Iterator[tuple[int, Built]]) -> bool:
        """Predict candidates and keep those that no guard rejects. False if there were none."""
        pairs = list(candidates)
        for first in range(0, len(pairs), 4 * _BATCH):
            batch = pairs[first : first + 4 * _BATCH]
            graphs = extract([built.schedule.mod for _, built in batch])
            gains = np.where(sound(graphs), self.pessimist.gains(graphs), -np.inf)
            scratch = _estimated_scratch(graphs)
            for (number, built), gain, nbytes in zip(batch, gains.tolist(), scratch.tolist(), strict=True):
                self._tried.add((number, built.decisions))
                if gain > -np.inf:
                    self.found.append(_Candidate(gain, int(nbytes), self.sketches[number], built))
        return bool(pairs)


def _estimated_scratch(graphs: Graphs) -> np.ndarray:
    """Bytes of scratch by graph: what the planner places, unless TVM shares a buffer with the output."""
    column = dict(zip(BUFFER, graphs.nodes["buffer"].T, strict=True))
    own = (column["is_input"] == 0) & (column["is_output"] == 0) & (column["nbytes"] > STACK_NBYTES)
    sizes = [align_up(int(nbytes), WORKSPACE_ALIGNMENT) for nbytes in np.where(own, column["nbytes"], 0)]
    return np.bincount(graphs.graph_of("buffer"), np.asarray(sizes, float), len(graphs))


def _front(
    found: Sequence[_Candidate], pessimist: Pessimist, target: tvm.target.Target, seed: int
) -> tuple[Choice, ...]:
    """Of the best candidates, those that no other beats in both predicted time and scratch."""
    final = _finalists(found)
    if not final:
        return ()
    bounds = pessimist.bounds(extract([one.built.schedule.mod for one in final]), seed)
    choices: list[Choice] = []
    for number in np.argsort(-bounds, kind="stable"):
        if bounds[number] <= _LEAST_GAIN:
            break
        if choices and final[number].scratch_nbytes >= choices[-1].scratch_nbytes:
            continue
        schedule = final[number].built.schedule
        nbytes = _scratch_nbytes(schedule.mod["main"].with_attr("tirx.is_scheduled", True), target)
        if nbytes is None or (choices and nbytes >= choices[-1].scratch_nbytes):
            continue
        trace = plain(schedule.trace.as_json())
        choices.append(Choice(pessimist.seconds * float(np.exp(-bounds[number])), nbytes, trace))
    return tuple(choices)


def _finalists(found: Sequence[_Candidate]) -> list[_Candidate]:
    """The candidates of largest gain, and slower ones that need less scratch."""
    ranked = sorted((one for one in found if one.gain > _LEAST_GAIN), key=lambda one: -one.gain)
    final, rest = ranked[: _FINALISTS // 2], ranked[_FINALISTS // 2 :]
    least = min((one.scratch_nbytes for one in final), default=0)
    for one in rest:
        if len(final) == _FINALISTS:
            break
        if one.scratch_nbytes < least:
            final.append(one)
            least = one.scratch_nbytes
    return final


def _scratch_nbytes(function: tvm.tirx.PrimFunc, target: tvm.target.Target) -> int | None:
    """Scratch of the kernel as it will be planned. None: TVM cannot lower it."""
    try:
        with native_stderr_discarded():
            fit = fit_threads(tvm.IRModule({"main": function}), target)["main"]
            return kernel_forms({"main": fit}, target)["main"].fast.scratch_nbytes
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

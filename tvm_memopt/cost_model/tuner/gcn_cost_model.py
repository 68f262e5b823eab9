"""The graph network as a cost model of MetaSchedule: ``ms.tune_tir(..., cost_model=GCNCostModel.pretrained())``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tvm_ffi
from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule as ms

from tvm_memopt.cost_model.data.record_files import NO_TIME
from tvm_memopt.cost_model.data.samples import compressed
from tvm_memopt.cost_model.features.extract import Graphs, extract
from tvm_memopt.cost_model.measure.sampling import candidate_hash
from tvm_memopt.cost_model.network.checkpoint import PRETRAINED, load_checkpoint, same_target, save_checkpoint
from tvm_memopt.cost_model.network.online import OnlineLearner, OnlineSettings
from tvm_memopt.cost_model.network.predictor import from_checkpoint
from tvm_memopt.errors import MemoptError

tvm_ffi.register_error("MemoptError", MemoptError)  # otherwise the tuner's native code turns it into a RuntimeError


@derived_object
class GCNCostModel(ms.cost_model.PyCostModel):  # type: ignore[misc]
    """Score candidates with a graph network that keeps learning. One object serves any number of programs.

    A new object is untrained and returns random scores until it has seen enough measurements. ``load`` and
    ``pretrained`` start from a checkpoint of ``tvm-memopt train-cost-model``. Needs the extra ``learn``.
    """

    def __init__(self, seed: int = 0, settings: OnlineSettings | None = None) -> None:
        super().__init__()
        self.seed, self.settings = seed, settings
        self.learner = OnlineLearner(None, seed, settings)
        self.failed, self.source = 0, ""
        self._checked: set[str] = set()

    @staticmethod
    def pretrained(seed: int = 0, settings: OnlineSettings | None = None) -> GCNCostModel:
        """Start from the bundled checkpoint. Raises MemoptError if this installation has none."""
        if not PRETRAINED.exists():
            raise MemoptError("this installation has no pre-trained cost model: train one and load() it")
        model = GCNCostModel(seed, settings)
        model.load(str(PRETRAINED))
        return model

    def load(self, path: str) -> None:
        """Continue from a checkpoint. Raises MemoptError if it is damaged or of another feature version."""
        trained = from_checkpoint(load_checkpoint(Path(path)), path)
        self.source = path
        self.learner = OnlineLearner(trained, self.seed, self.settings, trained.target)

    def save(self, path: str) -> None:
        """Write the current network as a checkpoint. Raises MemoptError if it has learned nothing yet."""
        if self.learner.trained is None:
            raise MemoptError("the cost model has learned nothing yet: there is nothing to save")
        save_checkpoint(Path(path), self.learner.trained.checkpoint())

    def update(
        self,
        context: ms.TuneContext,
        candidates: Sequence[ms.MeasureCandidate],
        results: Sequence[ms.runner.RunnerResult],
    ) -> None:
        """Learn from measured candidates. Failed ones are counted and ranked below all that ran."""
        self._check(context)
        if not candidates:
            return
        medians = [np.median([float(s) for s in result.run_secs or ()] or [np.inf]) for result in results]
        seconds = np.array([second if 0 < second < NO_TIME else np.inf for second in medians])
        self.failed += int(np.isinf(seconds).sum())
        self.learner.learn(_key(context), _graphs(candidates), seconds)

    def predict(self, context: ms.TuneContext, candidates: Sequence[ms.MeasureCandidate]) -> np.ndarray:
        """Positive scores, float64 [candidates]. Higher is better."""
        self._check(context)
        if not candidates:
            return np.zeros(0)
        if self.learner.trained is None:
            return self.learner.rng.uniform(0.01, 1.0, len(candidates))
        return self.learner.predict(_key(context), _graphs(candidates))

    def _check(self, context: ms.TuneContext) -> None:
        """Raise MemoptError if the network was trained for another target than the tuner's."""
        if context.target is None:
            return
        target = str(context.target)
        if target in self._checked:
            return
        if not self.learner.pretrained:
            self.learner.target = target
        elif not same_target(target, self.learner.target):
            raise MemoptError(
                f"{self.source}: was trained for target {self.learner.target}, expected {target}: collect on that "
                "target and train"
            )
        self._checked.add(target)


def _graphs(candidates: Sequence[ms.MeasureCandidate]) -> Graphs:
    return compressed(extract([candidate.sch.mod for candidate in candidates]))


def _key(context: ms.TuneContext) -> str:
    return f"{candidate_hash(context.mod):016x}"

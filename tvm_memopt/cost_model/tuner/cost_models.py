"""Cost models for the schedule search, by name."""

from __future__ import annotations

from math import floor
from pathlib import Path
from typing import TYPE_CHECKING

from tvm_memopt.errors import MemoptError

if TYPE_CHECKING:
    from tvm.s_tir import meta_schedule as ms
    from tvm.s_tir.meta_schedule.cost_model.mlp_model import MLPModel

NAMES = ("gcn", "xgb", "mlp", "random")
WARM_UP = 16
"""Candidates measured before XGBModel is used. Its default of 100 leaves short searches random."""


def make_cost_model(
    name: str, target: str, seed: int = 0, checkpoint: Path | None = None
) -> tuple[ms.cost_model.CostModel, str]:
    """Make a cost model for MetaSchedule. Returns (model, description of its starting point).

    ``checkpoint``: for "gcn"; None: the bundled checkpoint if it is for ``target`` (JSON), else no pre-training. Raises
    MemoptError if a package is missing or the checkpoint does not fit.
    """
    from tvm.s_tir import meta_schedule as ms

    try:
        if name == "gcn":
            return _gcn(target, seed, checkpoint)
        if name == "xgb":
            import xgboost  # noqa: F401  # else TVM imports it at the first update, after minutes of measurement

            return ms.cost_model.XGBModel(num_warmup_samples=WARM_UP, num_tuning_cores=1), "scratch"
        if name == "mlp":
            return _mlp(), "scratch"
    except ModuleNotFoundError as error:
        raise MemoptError(f"cost model {name!r} needs {error.name}: pip install 'tvm-memopt[learn]'") from error
    if name != "random":
        raise MemoptError(f"cost model {name!r} is unknown: expected one of {', '.join(NAMES)}")
    return ms.cost_model.RandomModel(seed=seed), "scratch"


def _gcn(target: str, seed: int, checkpoint: Path | None) -> tuple[ms.cost_model.CostModel, str]:
    from tvm_memopt.cost_model.network.checkpoint import PRETRAINED, load_checkpoint
    from tvm_memopt.cost_model.tuner.gcn_cost_model import GCNCostModel

    model = GCNCostModel(seed)
    if checkpoint is not None:
        load_checkpoint(checkpoint, target)  # fails here rather than after the first measurements
        model.load(str(checkpoint))
        return model, str(checkpoint)
    if PRETRAINED.exists():
        try:
            load_checkpoint(PRETRAINED, target)
        except MemoptError:
            return model, "scratch: the bundled checkpoint is for another target"
        model.load(str(PRETRAINED))
        return model, "the bundled checkpoint"
    return model, "scratch"


def _mlp() -> MLPModel:
    from tvm.s_tir.meta_schedule.cost_model.mlp_model import MLPModel, SegmentSumMLPTrainer

    class Trainer(SegmentSumMLPTrainer):  # type: ignore[misc]
        """TVM's trainer fails with too few programs to hold one out. In that case this one trains on all of them."""

        def train_full(self) -> None:
            groups = self.state.data.values()
            if floor(len(groups) * self.test_split) > 0:
                super().train_full()
                return
            for group in groups:
                self.train_incremental(list(group.features), group.costs)

    return MLPModel(trainer=Trainer())

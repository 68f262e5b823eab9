"""All cost models that the graph network is compared with, on the same samples and split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.references.calibration import by_fastest, by_isotonic, isotonic
from benchmarks.references.neural_cost_models import fit_halide_network, fit_store_network
from benchmarks.references.per_store import Stores
from benchmarks.references.tree_cost_models import fit_log_sum, fit_pack_sum
from tvm_memopt.cost_model.data.samples import Samples
from tvm_memopt.cost_model.network.metrics import Metrics, measure
from tvm_memopt.cost_model.network.predictor import Trained
from tvm_memopt.cost_model.network.training import Curve, Settings, train

NETWORKS = {"gcn": "full", "gcn, edge values only": "values", "gcn, no edges": "none"}
BASELINES = ("xgb", "xgb, seconds", "mlp", "halide")
_FLOOR = 1e-3  # least relative speed that a ranker's score is taken for


@dataclass(frozen=True)
class Prediction:
    """Of all candidates. ``seconds``: as predicted without any measurement of the program; ``speed``: relative,
    above 0; ``score``: what candidates are ranked by."""

    seconds: np.ndarray
    speed: np.ndarray
    score: np.ndarray

    def metrics(self, samples: Samples, wanted: np.ndarray, calibrated: bool) -> Metrics:
        """On some candidates; ``calibrated``: the fastest time of each program is given to the model."""
        truth, program = samples.seconds[wanted], samples.program[wanted]
        seconds = by_fastest(self.speed[wanted], truth, program) if calibrated else self.seconds[wanted]
        return measure(seconds, self.score[wanted], truth, program)


def predict_by_network(
    kind: str, samples: Samples, split: dict[str, np.ndarray], settings: Settings,
    watch: Callable[[str], None] | None = None,
) -> tuple[Prediction, Trained]:  # fmt: skip
    """Of one of NETWORKS, trained for it; ``watch`` is told of each epoch."""
    shape = replace(settings.architecture, edges=NETWORKS[kind])

    def show(curve: Curve, best: float) -> None:
        if watch is not None:
            watch(f"{kind}: epoch {curve.epoch}, loss {curve.train:.4f}, held-out {curve.valid:.4f} (best {best:.4f})")

    trained = train(samples, "{}", replace(settings, architecture=shape), None, show, split)
    seconds, score = trained.predict(samples.graphs)
    return Prediction(seconds, 1.0 / seconds, score), trained


def predict_by_baseline(
    kind: str, samples: Samples, stores: Stores, split: dict[str, np.ndarray], epochs: int = 60, seed: int = 0
) -> Prediction:
    """Of one of BASELINES, trained for it. Rankers are made seconds by a monotone map over the training programs."""
    train = samples.of_programs(split["train"])
    if kind == "halide":
        seconds = fit_halide_network(samples, split, epochs, seed)
        return Prediction(seconds, 1.0 / seconds, -seconds)
    if kind == "xgb, seconds":
        seconds = np.exp(fit_log_sum(*_parts(stores, np.log(samples.seconds), samples, split), stores))
        return Prediction(seconds, 1.0 / seconds, -seconds)
    if kind == "xgb":
        label = samples.fastest / samples.seconds
        score = fit_pack_sum(*_parts(stores, label, samples, split), stores)
        speed = np.maximum(score, _FLOOR)
    else:
        score = fit_store_network(samples, stores, split, epochs, seed)
        slower = isotonic(score[train], (samples.seconds / samples.fastest)[train])
        speed = 1.0 / by_isotonic(slower, score)  # a LambdaRank score has no unit of its own
    return Prediction(by_isotonic(isotonic(score[train], samples.seconds[train]), score), speed, score)


def _parts(
    stores: Stores, label: np.ndarray, samples: Samples, split: dict[str, np.ndarray]
) -> tuple[tuple[Stores, np.ndarray], tuple[Stores, np.ndarray]]:
    train, valid = (samples.of_programs(split[part]) for part in ("train", "valid"))
    return (stores.select(train), label[train]), (stores.select(valid), label[valid])

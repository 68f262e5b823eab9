"""Gradient-boosted trees on TVM's per-store features, with TVM's own objective and with one that predicts seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.references.per_store import Stores

_ROUNDS, _PATIENCE = 1000, 50
_PARAMETERS = {"max_depth": 10, "gamma": 0.001, "min_child_weight": 0, "eta": 0.2, "seed": 43, "nthread": 1}
"""Those of TVM's XGBModel."""

Objective = Callable[[np.ndarray, Stores, np.ndarray], tuple[np.ndarray, np.ndarray]]


def fit_pack_sum(train: tuple[Stores, np.ndarray], valid: tuple[Stores, np.ndarray], shown: Stores) -> np.ndarray:
    """Scores of the candidates of ``shown`` by TVM's model: a candidate's score is the sum of its rows' outputs.

    Squared error weighted by the label, which is fastest time of the program / time; ``train`` and ``valid``: rows and
    labels. TVM ends by the training error; here held-out programs decide, which can only help.
    """
    return _fit(train, valid, shown, _squared, 0.0, _sums)


def fit_log_sum(train: tuple[Stores, np.ndarray], valid: tuple[Stores, np.ndarray], shown: Stores) -> np.ndarray:
    """ln seconds of the candidates of ``shown``: a candidate's time is the sum of its rows' exponentials.

    The same trees and features with the squared error of ln seconds; labels are ln seconds.
    """
    rows = np.diff(train[0].starts)
    start = float(np.median(train[1] - np.log(np.maximum(rows, 1))))
    return _fit(train, valid, shown, _log_squared, start, _log_sums)


def _fit(
    train: tuple[Stores, np.ndarray], valid: tuple[Stores, np.ndarray], shown: Stores, objective: Objective,
    start: float, pool: Callable[[np.ndarray, Stores], np.ndarray],
) -> np.ndarray:  # fmt: skip
    import xgboost

    matrices = {name: xgboost.DMatrix(data.rows) for name, data in (("train", train[0]), ("valid", valid[0]))}
    labels = {id(matrices["train"]): train, id(matrices["valid"]): valid}

    def own_objective(output: np.ndarray, matrix: Any) -> tuple[np.ndarray, np.ndarray]:
        stores, truth = labels[id(matrix)]
        return objective(output, stores, truth)

    def error(output: np.ndarray, matrix: Any) -> tuple[str, float]:
        stores, truth = labels[id(matrix)]
        return "error", float(np.sqrt(np.mean((pool(output, stores) - truth) ** 2)))

    booster = xgboost.train(
        {**_PARAMETERS, "base_score": start, "disable_default_eval_metric": True}, matrices["train"], _ROUNDS,
        obj=own_objective, custom_metric=error, evals=[(matrices["valid"], "valid")],
        early_stopping_rounds=_PATIENCE, verbose_eval=False,
    )  # fmt: skip
    output = booster.predict(
        xgboost.DMatrix(shown.rows), output_margin=True, iteration_range=(0, booster.best_iteration + 1)
    )
    return np.asarray(pool(output, shown), np.float64)


def _sums(output: np.ndarray, stores: Stores) -> np.ndarray:
    return np.bincount(stores.candidate, output, len(stores))


def _squared(output: np.ndarray, stores: Stores, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    gradient = (_sums(output, stores) - label) * label
    return gradient[stores.candidate], label[stores.candidate]


def _log_sums(output: np.ndarray, stores: Stores) -> np.ndarray:
    most = np.maximum.reduceat(output, stores.starts[:-1])
    scaled = np.exp(output - most[stores.candidate])
    return np.asarray(most + np.log(np.bincount(stores.candidate, scaled, len(stores))))


def _log_squared(output: np.ndarray, stores: Stores, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    total = _log_sums(output, stores)
    share = np.exp(output - total[stores.candidate])
    distance = np.clip(total - label, -2.0, 2.0)[stores.candidate]
    return distance * share, np.maximum(share, 1e-3)

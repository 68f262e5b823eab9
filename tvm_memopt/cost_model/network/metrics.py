"""Prediction metrics, the same for every model. Needs only numpy."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

BEST = 5


@dataclass(frozen=True)
class Metrics:
    """Prediction metrics.

    ``mean_error``, ``median_error``: mean and median of |ŷ/y − 1| over candidates. ``r2``: R² of ln seconds over all
    candidates. The others are means over programs. ``pairwise``: share of pairs in the right order. ``top1``,
    ``top5``: time of the program's fastest candidate divided by the time of the fastest among the 1 or 5 candidates
    predicted best.
    """

    mean_error: float
    median_error: float
    r2: float
    pairwise: float
    top1: float
    top5: float

    def document(self) -> dict[str, float]:
        """The metrics as a dictionary."""
        return asdict(self)


def measure(predicted: np.ndarray, score: np.ndarray, seconds: np.ndarray, program: np.ndarray) -> Metrics:
    """Compute all metrics.

    ``predicted``, ``seconds``: predicted and measured seconds. ``score``: rank scores, higher is better. ``program``:
    program number. All [candidates].
    """
    errors = relative_errors(predicted, seconds)
    truth, guess = np.log(seconds), np.log(predicted)
    r2 = 1.0 - float(((guess - truth) ** 2).sum() / max(((truth - truth.mean()) ** 2).sum(), 1e-30))
    parts = [program == number for number in np.unique(program)]
    rankings = np.array([ranking(score[part], seconds[part]) for part in parts])
    pairwise, top1, top5 = rankings.mean(axis=0)
    return Metrics(float(errors.mean()), float(np.median(errors)), r2, float(pairwise), float(top1), float(top5))


def relative_errors(predicted: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """|ŷ/y − 1| of each candidate."""
    return np.asarray(np.abs(predicted / seconds - 1.0))


def ranking(score: np.ndarray, seconds: np.ndarray) -> tuple[float, float, float]:
    """Pairwise accuracy, top-1 and top-5 for the candidates of one program. Equal scores count as half right."""
    first, second = np.triu_indices(len(seconds), 1)
    faster = np.sign(seconds[second] - seconds[first])
    agreed = (faster * np.sign(score[first] - score[second]) + 1.0) / 2.0
    counted = faster != 0
    pairwise = float(agreed[counted].mean()) if counted.any() else 1.0
    order = np.argsort(-score, kind="stable")
    best = seconds.min()
    return pairwise, float(best / seconds[order[0]]), float(best / seconds[order[:BEST]].min())

"""The value of decisions: weights of their log-probabilities in imitation and in policy gradient."""

from __future__ import annotations

import numpy as np

_LEAST_SPREAD = 1e-3  # fraction of the mean peak: draws whose peaks agree this closely carry no information
_MARGIN = 0.25  # fraction of the peak: steps this far below it have no weight in imitation


def step_importance(held: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    """Return (draws x steps) float32: weight of the log-probability of the decision before each step.

    ``held`` (draws x steps from the end): bytes live at each step. ``peaks`` (draws): peak of each draw.

    A decision is credited only with the largest step from it on, and only with the part above the best draw's peak: the
    cost is a maximum, so nothing else can change it. The baseline is the mean over the draws at the same step. Costs
    are standardised by the spread of the peaks on the graph (Jeon et al. 2023).
    """
    from_here = np.maximum.accumulate(held[:, ::-1], axis=1)[:, ::-1].astype(np.float64)
    cost = np.maximum(from_here, float(peaks.min())) - float(peaks.min())
    spread = max(float(peaks.std()), _LEAST_SPREAD * float(peaks.mean()))
    gain = (cost.mean(axis=0) - cost) / spread
    gain[np.abs(gain) < 1e-9] = 0.0
    weights: np.ndarray = (gain / len(held)).astype(np.float32)
    return weights


def imitation_importance(held: np.ndarray) -> np.ndarray:
    """Return (steps) float32, at most 1: weight of the decision before each step of an order to imitate.

    ``held`` (steps from the end): bytes live at each step of the order. Decisions after which it stays far below its
    peak are arbitrary.
    """
    from_here = np.maximum.accumulate(held[::-1])[::-1].astype(np.float64)
    peak = max(1.0, float(from_here.max(initial=0)))
    return np.clip(1 - (1 - from_here / peak) / _MARGIN, 0.0, 1.0).astype(np.float32)

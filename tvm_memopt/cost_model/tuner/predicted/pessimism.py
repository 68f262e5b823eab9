"""Pessimistic predictions: how much faster than the unscheduled kernel a schedule is, at least.

Two estimates are combined. The heads of the network, seconds and rank score, have to agree: the smaller gain of the two
counts. Among the last candidates the spread under dropout is taken off, as a bound on what the network does not know
(Gal and Ghahramani, "Dropout as a Bayesian Approximation", ICML 2016).
"""

from __future__ import annotations

import numpy as np

from tvm_memopt.cost_model.data.samples import compressed
from tvm_memopt.cost_model.features.extract import Graphs, join
from tvm_memopt.cost_model.network.inference import Predictor

_DRAWS = 8


class Pessimist:
    """Gains over one kernel without a schedule. ``unscheduled``: its raw graph."""

    def __init__(self, predictor: Predictor, unscheduled: Graphs) -> None:
        self.predictor, self.unscheduled = predictor, compressed(unscheduled)
        seconds, score = predictor.predict(self.unscheduled)
        self.seconds = float(seconds[0])
        self._logarithm, self._score = float(np.log(seconds[0])), float(score[0])

    def gains(self, graphs: Graphs) -> np.ndarray:
        """ln of the speed-up, by the head that promises less, float64 [graphs]. ``graphs``: raw."""
        seconds, score = self.predictor.predict(compressed(graphs))
        return np.asarray(np.minimum(self._logarithm - np.log(seconds), score - self._score))

    def bounds(self, graphs: Graphs, seed: int) -> np.ndarray:
        """Mean less one deviation of the gains under dropout, or the gains if those are lower. ``graphs``: raw."""
        every = join([self.unscheduled, compressed(graphs)] * _DRAWS)
        logarithm, score = self.predictor.draw(every, np.random.default_rng(seed))
        logarithm, score = logarithm.reshape(_DRAWS, -1), score.reshape(_DRAWS, -1)
        drawn = np.minimum(logarithm[:, :1] - logarithm[:, 1:], score[:, 1:] - score[:, :1])
        spread = np.mean(drawn, axis=0) - np.std(drawn, axis=0)
        return np.asarray(np.minimum(spread, self.gains(graphs)))

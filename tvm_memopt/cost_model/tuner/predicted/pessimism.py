"""Pessimistic predictions: how much faster than the unscheduled kernel a schedule is, at least.

Two estimates are combined. The heads of the network, seconds and rank score, have to agree: the smaller gain of the two
counts. Among the last candidates the spread under dropout is taken off, as a bound on what the network does not know
(Gal and Ghahramani, "Dropout as a Bayesian Approximation", ICML 2016).
"""

from __future__ import annotations

import numpy as np
import torch

from tvm_memopt.cost_model.data.samples import compressed
from tvm_memopt.cost_model.features.extract import Graphs, join
from tvm_memopt.cost_model.network.normalization import prepare
from tvm_memopt.cost_model.network.predictor import Trained

_DRAWS = 8


class Pessimist:
    """Gains over one kernel without a schedule. ``unscheduled``: its raw graph."""

    def __init__(self, trained: Trained, unscheduled: Graphs) -> None:
        self.trained, self.unscheduled = trained, compressed(unscheduled)
        seconds, score = trained.predict(self.unscheduled)
        self.seconds = float(seconds[0])
        self._logarithm, self._score = float(np.log(seconds[0])), float(score[0])

    def gains(self, graphs: Graphs) -> np.ndarray:
        """ln of the speed-up, by the head that promises less, float64 [graphs]. ``graphs``: raw."""
        seconds, score = self.trained.predict(compressed(graphs))
        return np.asarray(np.minimum(self._logarithm - np.log(seconds), score - self._score))

    def bounds(self, graphs: Graphs, seed: int) -> np.ndarray:
        """Mean less one deviation of the gains under dropout, or the gains if those are lower. ``graphs``: raw."""
        prepared = prepare(join([self.unscheduled, compressed(graphs)]), self.trained.normalization)
        batch, network = prepared.batch(np.arange(len(graphs) + 1), "cpu"), self.trained.network
        drawn = []
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network.train()
            for _ in range(_DRAWS):
                logarithm, score = (head.double().numpy() for head in network(batch))
                drawn.append(np.minimum(logarithm[0] - logarithm[1:], score[1:] - score[0]))
            network.eval()
        spread = np.mean(drawn, axis=0) - np.std(drawn, axis=0)
        return np.asarray(np.minimum(spread, self.gains(graphs)))

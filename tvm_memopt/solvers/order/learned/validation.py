"""Quality of a network's orders: mean gaps to the best known peaks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tvm_memopt.solvers.native.order import learned as native
from tvm_memopt.solvers.order.learned.config import ModelConfig
from tvm_memopt.solvers.order.learned.decoding import best_sample
from tvm_memopt.solvers.order.learned.examples import Example
from tvm_memopt.solvers.order.learned.forward import Weights, policy_of

_SAMPLES = 16


def validation_gaps(config: ModelConfig, weights: Weights, examples: Sequence[Example]) -> tuple[float, float]:
    """Return (greedy, best of 16 samples): the mean gap to the examples' peaks, in percent."""
    greedy, sampled = [], []
    for example in examples:
        policy = policy_of(config, weights, example.features, example.around)
        greedy.append(float(native.draw(example.problem, policy, 1).peaks[0]) / example.peak)
        sampled.append(best_sample(example.problem, policy, _SAMPLES, seed=0)[1] / example.peak)
    return 100 * (float(np.mean(greedy)) - 1), 100 * (float(np.mean(sampled)) - 1)

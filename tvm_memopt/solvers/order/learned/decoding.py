"""Orders from a policy: greedy, the best of many samples, beam. Each runs the network's scores, not the network."""

from __future__ import annotations

import numpy as np

from tvm_memopt.solvers.native.order import learned as native
from tvm_memopt.solvers.native.order.learned import Policy
from tvm_memopt.solvers.native.order.problem import PackedProblem

_NOISE = 3.0  # training sharpens the scores: validation graphs favour samples noisier than those it drew


def best_greedy(problem: PackedProblem, policy: Policy) -> tuple[np.ndarray, int]:
    """(order, peak): always the ready op of the largest score."""
    drawn = native.draw(problem, policy, 1)
    return drawn.orders[0], int(drawn.peaks[0])


def best_sample(problem: PackedProblem, policy: Policy, samples: int, *, seed: int) -> tuple[np.ndarray, int]:
    """(order, peak) of the best of ``samples`` orders, the greedy one among them.

    Each perturbs all scores once with Gumbel noise (Kool et al. 2019); peaks below the best so far count as equal, so
    that each sample looks for a better one.
    """
    noise = _NOISE * np.random.default_rng(seed).gumbel(size=(samples, problem.ops)).astype(np.float32)
    noise[:1] = 0
    drawn = native.draw(problem, policy, samples, noise=noise)
    return drawn.orders[drawn.best], int(drawn.peaks[drawn.best])


def best_beam(problem: PackedProblem, policy: Policy, width: int) -> tuple[np.ndarray, int]:
    """(order, peak) of a beam of ``width`` executed sets."""
    return native.beam(problem, policy, width=width)

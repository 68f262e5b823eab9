"""Orders from a policy: greedy, best of many samples, or beam. The network itself runs only once per graph."""

from __future__ import annotations

import numpy as np

from tvm_memopt.solvers.native.order import learned as native
from tvm_memopt.solvers.native.order.learned import Policy
from tvm_memopt.solvers.native.order.problem import PackedProblem

_NOISE = 3.0  # training sharpens the scores: on validation graphs, noisier samples than in training do better


def best_greedy(problem: PackedProblem, policy: Policy) -> tuple[np.ndarray, int]:
    """Return (order, peak): always take the ready op with the largest score."""
    drawn = native.draw(problem, policy, 1)
    return drawn.orders[0], int(drawn.peaks[0])


def best_sample(problem: PackedProblem, policy: Policy, samples: int, *, seed: int) -> tuple[np.ndarray, int]:
    """Return (order, peak) of the best of ``samples`` orders, which include the greedy one.

    Each sample perturbs all scores once with Gumbel noise (Kool et al. 2019). Peaks below the best so far count as
    equal, so that each sample aims for a better one.
    """
    noise = _NOISE * np.random.default_rng(seed).gumbel(size=(samples, problem.ops)).astype(np.float32)
    noise[:1] = 0
    drawn = native.draw(problem, policy, samples, noise=noise)
    return drawn.orders[drawn.best], int(drawn.peaks[drawn.best])


def best_beam(problem: PackedProblem, policy: Policy, width: int) -> tuple[np.ndarray, int]:
    """Return (order, peak) of a beam search that keeps ``width`` executed sets."""
    return native.beam(problem, policy, width=width)

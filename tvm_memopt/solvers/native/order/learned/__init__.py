"""Orders by learned scores, in C++. See policy.h for policies and relations.h for relations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from tvm_memopt.solvers.native import library
from tvm_memopt.solvers.native.order import new_flag
from tvm_memopt.solvers.native.order.problem import PackedProblem

STATE_FEATURES = ("delta", "share", "unlock", "recency", "valley")


@dataclass(frozen=True)
class Policy:
    """Scores of ops: ``priority`` (ops), and ``weights`` (ops x STATE_FEATURES) of the state features, or empty.

    ``safe_moves``: immediately run an op that fits below the peak so far and does not increase the live bytes.
    """

    priority: np.ndarray
    weights: np.ndarray = field(default_factory=lambda: np.zeros(0))
    safe_moves: bool = True

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, int]:
        """The arguments that the library takes."""
        return _floats(self.priority), _floats(self.weights), int(self.safe_moves)


class Draws(NamedTuple):
    """``orders`` (draws x ops), ``held`` bytes (draws x steps from the end), ``peaks``, and index of the ``best``."""

    orders: np.ndarray
    held: np.ndarray
    peaks: np.ndarray
    best: int


class Likelihood(NamedTuple):
    """``log_probabilities`` and number of ``decisions`` per order, and the summed gradients."""

    log_probabilities: np.ndarray
    decisions: np.ndarray
    priority_gradient: np.ndarray
    weights_gradient: np.ndarray


def relations(problem: PackedProblem, edges: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (ancestors, redundant, forced): bit rows (ops x words, uint64), a flag per edge, bytes per op."""
    words = (problem.ops + 63) // 64
    ancestors = np.zeros(problem.ops * words, np.int64)
    redundant, forced = np.zeros(edges, np.int32), np.zeros(problem.ops, np.int64)
    library().order_relations(problem.index, problem.bytes, ancestors, redundant, forced)
    return ancestors.view(np.uint64).reshape(problem.ops, words), redundant.astype(bool), forced


def draw(
    problem: PackedProblem,
    policy: Policy,
    count: int,
    *,
    noise: np.ndarray | None = None,
    seed: int | None = None,
    lower: bool = True,
) -> Draws:
    """Draw ``count`` orders by largest score, plus ``noise`` (count x ops) or fresh Gumbel noise from ``seed``.

    ``lower``: in later orders, treat peaks below the best so far as equal.
    """
    orders, held = np.zeros(count * problem.ops, np.int32), np.zeros(count * problem.ops, np.int64)
    peaks = np.zeros(count, np.int64)
    noises = _floats(np.zeros(0) if noise is None else noise)
    arguments = *policy.arrays, noises, -1 if seed is None else seed, int(lower), orders, held, peaks
    best = library().policy_draw(problem.index, problem.bytes, *arguments)
    shape = count, problem.ops
    return Draws(orders.reshape(shape), held.reshape(shape), peaks, int(best))


def follow(
    problem: PackedProblem,
    policy: Policy,
    orders: np.ndarray,
    *,
    limits: np.ndarray | None = None,
    importance: np.ndarray | None = None,
) -> Likelihood:
    """Compute log-probabilities of the decisions along ``orders``, and their gradients weighted by ``importance``.

    ``limits``: for each order, the peak up to which safe moves are made (default 0).
    ``importance``: (orders x steps from the end).
    """
    count = len(orders)
    limits = np.zeros(count, np.int64) if limits is None else np.require(limits, np.int64, ["C", "W"])
    weights = _floats(np.zeros(0) if importance is None else importance)
    found = np.zeros(count), np.zeros(count, np.int64)
    gradients = np.zeros(problem.ops, np.float32), np.zeros(policy.weights.size, np.float32)
    flat = np.require(orders, np.int32, ["C", "W"]).reshape(-1)
    library().policy_follow(problem.index, problem.bytes, *policy.arrays, flat, limits, weights, *gradients, *found)
    return Likelihood(*found, gradients[0], gradients[1].reshape(policy.weights.shape))


def beam(
    problem: PackedProblem,
    policy: Policy,
    *,
    width: int,
    branches: int = 4,
    peak_weight: float = 1.0,
    seconds: float = 1e9,
    flag: np.ndarray | None = None,
) -> tuple[np.ndarray, int]:
    """Return (order, peak) of a beam search by log-probability less ``peak_weight`` times the peak.

    The beam narrows to one when time is up.
    """
    order = np.zeros(problem.ops, np.int32)
    flag = new_flag() if flag is None else flag
    limits = width, branches, peak_weight, seconds, flag
    peak = library().policy_beam(problem.index, problem.bytes, *policy.arrays, *limits, order)
    return order, int(peak)


def _floats(values: np.ndarray) -> np.ndarray:
    return np.require(values, np.float32, ["C", "W"]).reshape(-1)

"""The plain twins of native.policy: drawing orders, following them, and beam search."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tests.twins.order.policy_state import PlainPolicyState
from tests.twins.order.random import PlainRandom
from tvm_memopt.graph import Graph
from tvm_memopt.solvers.native.order.learned import STATE_FEATURES, Draws, Likelihood, Policy


def plain_draw(
    graph: Graph,
    policy: Policy,
    count: int,
    *,
    noise: np.ndarray | None = None,
    seed: int | None = None,
    lower: bool = True,
) -> Draws:
    """The twin of native.policy.draw."""
    orders, held = [], []
    peaks: list[int] = []
    for index in range(count):
        state = PlainPolicyState(graph, policy, min(peaks) - 1 if lower and peaks else 0)
        random = None if seed is None else PlainRandom(seed + index)
        while state.ready:
            state.run(_choose(state, None if noise is None else noise[index], random))
        orders.append(state.taken[::-1])
        held.append(state.held)
        peaks.append(state.peak)
    return Draws(np.array(orders, np.int32), np.array(held, np.int64), np.array(peaks, np.int64), int(np.argmin(peaks)))


def _choose(state: PlainPolicyState, noise: np.ndarray | None, random: PlainRandom | None) -> int:
    best, top = -1, -math.inf
    for op in state.ready:
        score = state.score(op)
        if noise is not None:
            score += float(np.float32(noise[op]))
        elif random is not None:
            score += random.gumbel()
        if best < 0 or score > top:
            best, top = op, score
    return best


def plain_follow(
    graph: Graph,
    policy: Policy,
    orders: Sequence[Sequence[int]],
    *,
    limits: Sequence[int] | None = None,
    importance: np.ndarray | None = None,
) -> Likelihood:
    """The twin of native.policy.follow."""
    sums = np.zeros((len(graph.ops), 1 + len(STATE_FEATURES)))
    found = []
    for index, order in enumerate(orders):
        state = PlainPolicyState(graph, policy, limits[index] if limits is not None else 0)
        weights = None if importance is None else importance[index]
        found.append(_follow(state, order, weights, sums))
    log_probabilities, decisions = zip(*found, strict=True)
    gradient = sums.astype(np.float32)
    return Likelihood(
        np.array(log_probabilities), np.array(decisions), gradient[:, 0], gradient[:, 1 : 1 + policy.weights.shape[-1]]
    )


def _follow(
    state: PlainPolicyState, order: Sequence[int], importance: np.ndarray | None, sums: np.ndarray
) -> tuple[float, int]:
    log_probability, decisions = 0.0, 0
    for chosen in reversed(order):
        if chosen in state.taken:
            continue
        weight = 1.0 if importance is None else float(importance[len(state.taken)])
        ready = state.ready
        if weight != 0 and len(ready) > 1:
            decisions += 1
            log_shares = _log_softmax([state.score(op) for op in ready])
            for op, log_share in zip(ready, log_shares, strict=True):
                log_probability += log_share if op == chosen else 0.0
                coefficient = weight * ((op == chosen) - math.exp(log_share))
                sums[op] += coefficient * np.array([1.0, *state.features(op)])
        state.run(chosen)
    return log_probability, decisions


def _log_softmax(scores: Sequence[float]) -> list[float]:
    top = max(scores)
    log_sum = top + math.log(sum(math.exp(score - top) for score in scores))
    return [score - log_sum for score in scores]


def plain_beam(
    graph: Graph, policy: Policy, *, width: int, branches: int = 4, peak_weight: float = 1.0
) -> tuple[list[int], int]:
    """The twin of native.policy.beam, without a clock."""
    states = [(0.0, PlainPolicyState(graph, policy))]
    complete: list[PlainPolicyState] = []
    while states:
        complete += [state for _, state in states if not state.ready]
        children = []
        for log_probability, state in states:
            scores = {op: state.score(op) for op in state.ready}
            shares = dict(zip(scores, _log_softmax(list(scores.values())), strict=True)) if scores else {}
            for op in sorted(scores, key=lambda op: -scores[op])[:branches]:  # used at once
                total = log_probability + shares[op]
                peak = max(state.peak, state.state.step_bytes(op)) / state.unit
                children.append((total - peak_weight * peak, total, state, op))
        states = _survivors(sorted(children, key=lambda child: -child[0]), width)
    best = min(complete, key=lambda state: state.peak)
    return best.taken[::-1], best.peak


def _survivors(
    children: Sequence[tuple[float, float, PlainPolicyState, int]], width: int
) -> list[tuple[float, PlainPolicyState]]:
    """The first ``width`` children of distinct executed sets, as states of their own."""
    seen: set[frozenset[int]] = set()
    kept: list[tuple[float, PlainPolicyState]] = []
    for _, total, parent, op in children:
        executed = frozenset((*parent.taken, op))
        if len(kept) == width:
            break
        if executed not in seen:
            seen.add(executed)
            state = parent.copy()
            state.run(op)
            kept.append((total, state))
    return kept

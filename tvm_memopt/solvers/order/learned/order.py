"""From a graph to a learned order: relations, features, one run of the network, then decoding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import Graph, given_order, peak_live
from tvm_memopt.solvers.native.order import learned as native
from tvm_memopt.solvers.native.order.problem import PackedProblem, packed_problem
from tvm_memopt.solvers.order.learned.checkpoint import Checkpoint, shipped_checkpoint
from tvm_memopt.solvers.order.learned.decoding import best_beam, best_greedy, best_sample
from tvm_memopt.solvers.order.learned.features import node_features
from tvm_memopt.solvers.order.learned.forward import policy_of
from tvm_memopt.solvers.order.learned.neighbourhoods import neighbourhoods
from tvm_memopt.solvers.order.learned.relations import relations_of

Mode = Literal["greedy", "sample", "beam"]
MAX_OPS = 20_000
"""For larger graphs, the closure, with one bit per pair of ops, takes too much memory."""


@dataclass(frozen=True)
class LearnedOrder:
    """``method``: "topoformer greedy" and the like, or "given" if the given order is at least as good."""

    order: tuple[int, ...]
    peak: int
    method: str


def learned_order(
    graph: Graph,
    mode: Mode = "greedy",
    *,
    samples: int = 64,
    width: int = 16,
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
) -> LearnedOrder:
    """Return the network's order, or the given one if that is at least as good.

    ``mode``: one order by largest scores; the best of ``samples``; or a beam of ``width``.
    ``seed``: used for samples only.
    ``checkpoint``: None for the bundled checkpoint.

    Raises MemoptError if the checkpoint cannot be used, the graph has more than 20,000
    ops, or sums of bytes exceed 2^62.
    """
    given = given_order(graph)
    best = LearnedOrder(given, peak_live(graph, given), "given")
    if not graph.ops:
        return best
    problem, policy = learned_policy(graph, checkpoint)
    if mode == "greedy":
        order, peak = best_greedy(problem, policy)
    elif mode == "sample":
        order, peak = best_sample(problem, policy, samples, seed=seed)
    else:
        order, peak = best_beam(problem, policy, width)
    return LearnedOrder(tuple(order.tolist()), peak, f"topoformer {mode}") if peak < best.peak else best


def learned_policy(graph: Graph, checkpoint: Checkpoint | None = None) -> tuple[PackedProblem, native.Policy]:
    """The graph's ordering problem, and the network's scores for its ops. Raises like learned_order."""
    problem = packed_problem(graph) if len(graph.ops) <= MAX_OPS else None
    if problem is None:
        raise MemoptError(
            f"graph {graph.name!r}: too large for a learned order: {len(graph.ops):,} ops, expected up to {MAX_OPS:,}, "
            "and sums of bytes up to 2^62"
        )
    known = checkpoint or shipped_checkpoint()
    relations = relations_of(graph, problem)
    features = node_features(graph, problem, relations)
    return problem, policy_of(known.config, known.weights, features, neighbourhoods(relations))

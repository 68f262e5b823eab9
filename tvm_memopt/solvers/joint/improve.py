"""Closing the gap between the arena of the best order and the lower bound, over all orders and all addresses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tvm_memopt.graph import Graph, lifetimes
from tvm_memopt.solvers.cp_sat import CpSatOutcome, run_cp_sat
from tvm_memopt.solvers.joint.pieces import Pieces, pieces_of
from tvm_memopt.solvers.joint.precedence import JointModel, build, free_triples
from tvm_memopt.solvers.request import Deadline

_MOST_TRIPLES = 200_000  # takes about 1 s to build; reached by graphs of about 100 ops with few dependences
_MOST_HELD = 40_000  # pieces times ops; reached by graphs of about 150 ops


@dataclass(frozen=True)
class JointAnswer:
    """Result of improve_jointly.

    ``order``, ``offsets``: the order, and an offset in bytes for each of ``lifetimes(graph, order).buffers``; both None
    if no smaller arena was found.
    ``bound_nbytes``: a lower bound on the arena of every plan that runs each op once.
    ``proved``: whether the search ended, so that the arena found, or else the one to beat, is optimal.
    ``interrupted``: whether Ctrl-C ended the search early.
    """

    order: tuple[int, ...] | None
    offsets: tuple[int, ...] | None
    bound_nbytes: int
    proved: bool
    interrupted: bool = False


def improve_jointly(
    graph: Graph,
    arena_nbytes: int,
    lower_bound_nbytes: int,
    deadline: Deadline,
    *,
    seed: int = 0,
    threads: int = 1,
    hint_order: Sequence[int] | None = None,
) -> JointAnswer:
    """Find the smallest arena below ``arena_nbytes`` over all orders and placements.

    ``lower_bound_nbytes`` is a known lower bound on the arena. Graphs of more than about 100 ops are not searched. The
    answer depends only on the seed unless time runs out. Ctrl-C ends the search early; the answer reports it.
    """
    pieces = pieces_of(graph)
    if lower_bound_nbytes >= arena_nbytes:
        return JointAnswer(None, None, arena_nbytes, True)
    if deadline.passed or _is_too_large(pieces):
        return JointAnswer(None, None, lower_bound_nbytes, False)
    answer = JointAnswer(None, None, lower_bound_nbytes, False)
    try:
        joint = build(pieces, lower_bound_nbytes, arena_nbytes - 1)
        if hint_order is not None:
            joint.hint(hint_order)
    except KeyboardInterrupt:
        return replace(answer, interrupted=True)
    return _answer(joint, run_cp_sat(joint.model, deadline, threads=threads, seed=seed), arena_nbytes)


def _is_too_large(pieces: Pieces) -> bool:
    return len(pieces.pieces) * len(pieces.graph.ops) > _MOST_HELD or free_triples(pieces) > _MOST_TRIPLES


def _answer(joint: JointModel, found: CpSatOutcome, arena_nbytes: int) -> JointAnswer:
    if found.status == "infeasible":
        return JointAnswer(None, None, arena_nbytes, True, found.interrupted)
    bound = max(joint.lower, found.bound)
    if not found.solved:
        return JointAnswer(None, None, bound, False, found.interrupted)
    order = joint.order(found.value)
    placed = [found.value(offset) * joint.unit for offset in joint.offsets]
    offsets = joint.pieces.offsets(lifetimes(joint.pieces.graph, order), order, placed)
    return JointAnswer(order, tuple(offsets), bound, found.status == "optimal", found.interrupted)

"""The effect of one more op on memory: an incremental version of ``graph.liveness`` for orders without repeats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tvm_memopt.graph import Graph
from tvm_memopt.graph.liveness import best_sharing


@dataclass(frozen=True)
class MemoryTables:
    """The part of memory accounting that does not depend on the order, as arrays over ops and tensors.

    ``transient``: for each op, bytes added during its step, before sharing.
    ``kept``: for each op, output bytes that outlive the step.
    ``frees``: for each op, the tensors that die in it if it is their last reader.
    ``pairs``: for each op, its in-place (input, output, shared bytes).
    ``start_live``: bytes of arena inputs that are read or returned.
    ``orphans``: bytes of the other arena inputs, live at the first step only.
    """

    transient: tuple[int, ...]
    kept: tuple[int, ...]
    frees: tuple[tuple[int, ...], ...]
    pairs: tuple[tuple[tuple[int, int, int], ...], ...]
    nbytes: tuple[int, ...]
    start_live: int
    orphans: int


def memory_tables(graph: Graph) -> MemoryTables:
    """The tables of ``graph``. O(edges)."""
    nbytes = tuple(tensor.nbytes for tensor in graph.tensors)
    outlives = [bool(graph.readers[t]) or t in graph.returned for t in range(len(nbytes))]
    inputs = [t for t, x in enumerate(graph.tensors) if x.kind != "activation" and graph.planned[t]]
    return MemoryTables(
        transient=tuple(
            sum(nbytes[t] for t in writes) + op.workspace for op, writes in zip(graph.ops, graph.writes, strict=True)
        ),
        kept=tuple(sum(nbytes[t] for t in writes if outlives[t]) for writes in graph.writes),
        frees=tuple(tuple(t for t in reads if t not in graph.returned) for reads in graph.reads),
        pairs=tuple(_pairs(graph, op) for op in range(len(graph.ops))),
        nbytes=nbytes,
        start_live=sum(nbytes[t] for t in inputs if outlives[t]),
        orphans=sum(nbytes[t] for t in inputs if not outlives[t]),
    )


def _pairs(graph: Graph, op: int) -> tuple[tuple[int, int, int], ...]:
    """In-place pairs usable in some order. A returned input outlives every op, so it never shares."""
    pairs = graph.sharing[op]
    return tuple((p.source, p.target, p.weight) for p in pairs if p.source not in graph.returned)


def op_effect(tables: MemoryTables, op: int, dying: Sequence[int]) -> tuple[int, int]:
    """Return (extra, delta) of running ``op`` when it is the last reader of its distinct inputs ``dying``.

    The step holds live + extra bytes (plus the orphans if it is the first), and leaves live + delta.
    """
    extra, delta = tables.transient[op], tables.kept[op]
    for tensor in dying:
        delta -= tables.nbytes[tensor]
    if dying and tables.pairs[op]:
        extra -= best_sharing([pair for pair in tables.pairs[op] if pair[0] in dying])
    return extra, delta


class LiveState:
    """Memory along one order, op by op. Every op runs once.

    ``live``: bytes live between the last step and the next, without orphans. ``unread``: for each tensor, the number of
    readers still to run.
    """

    __slots__ = ("_tables", "live", "started", "unread")

    def __init__(self, graph: Graph, tables: MemoryTables | None = None) -> None:
        self._tables = tables or memory_tables(graph)
        self.live = self._tables.start_live
        self.started = False
        self.unread = [len(readers) for readers in graph.readers]

    def effect(self, op: int) -> tuple[int, int]:
        """(extra, delta) of ``op`` as the next step; see op_effect."""
        dying = [t for t in self._tables.frees[op] if self.unread[t] == 1]
        return op_effect(self._tables, op, dying)

    def run(self, op: int) -> int:
        """Run ``op`` next and return the bytes live during its step."""
        extra, delta = self.effect(op)
        held = self.live + extra + (0 if self.started else self._tables.orphans)
        self.live += delta
        self.started = True
        for tensor in self._tables.frees[op]:
            self.unread[tensor] -= 1
        return held


def order_profile(graph: Graph, order: Sequence[int]) -> list[int]:
    """Live bytes at each step of ``order``, which runs every op once. O(edges)."""
    state = LiveState(graph)
    return [state.run(op) for op in order]

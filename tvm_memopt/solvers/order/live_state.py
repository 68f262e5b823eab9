"""What one more op does to memory: the incremental twin of ``graph.liveness`` for orders without repeats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tvm_memopt.graph import Graph
from tvm_memopt.graph.liveness import best_sharing


@dataclass(frozen=True)
class MemoryTables:
    """The part of memory accounting that no order changes, as arrays over ops and tensors.

    ``transient``: bytes that a step adds while it runs, before sharing. ``kept``: output bytes that
    outlive the step. ``frees``: tensors that die in the op if it is their last reader. ``pairs``:
    in-place (input, output, shared bytes). ``start_live``: arena inputs that are read or returned;
    ``orphans``: the other arena inputs, held during the first step only.
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
    """In-place pairs that some order can use: a returned input outlives every op, so it never shares."""
    roots = dict.fromkeys((graph.root[source], target) for source, target in graph.ops[op].inplace)
    return tuple(
        (source, target, min(graph.tensors[source].nbytes, graph.tensors[target].nbytes))
        for source, target in roots
        if graph.planned[source] and graph.planned[target] and source not in graph.returned
    )


def op_effect(tables: MemoryTables, op: int, dying: Sequence[int]) -> tuple[int, int]:
    """(extra, delta) of running ``op`` when its distinct inputs ``dying`` have no other reader left.

    The step holds live + extra bytes (and the orphans, if it is the first) and leaves live + delta.
    """
    extra, delta = tables.transient[op], tables.kept[op]
    for tensor in dying:
        delta -= tables.nbytes[tensor]
    if dying and tables.pairs[op]:
        extra -= best_sharing([pair for pair in tables.pairs[op] if pair[0] in dying])
    return extra, delta


class LiveState:
    """Memory along one order, op by op; every op runs once.

    ``live``: bytes held between the last step and the next, orphans left out. ``unread``: per tensor, readers to come.
    """

    __slots__ = ("_tables", "live", "started", "unread")

    def __init__(self, graph: Graph, tables: MemoryTables | None = None) -> None:
        self._tables = tables or memory_tables(graph)
        self.live = self._tables.start_live
        self.started = False
        self.unread = [len(readers) for readers in graph.readers]

    def effect(self, op: int) -> tuple[int, int]:
        """What ``op`` would do as the next step; see op_effect."""
        dying = [t for t in self._tables.frees[op] if self.unread[t] == 1]
        return op_effect(self._tables, op, dying)

    def run(self, op: int) -> int:
        """Run ``op`` next; returns the bytes held during its step."""
        extra, delta = self.effect(op)
        held = self.live + extra + (0 if self.started else self._tables.orphans)
        self.live += delta
        self.started = True
        for tensor in self._tables.frees[op]:
            self.unread[tensor] -= 1
        return held


def order_profile(graph: Graph, order: Sequence[int]) -> list[int]:
    """Bytes held at each step of ``order``, which runs every op once. O(edges)."""
    state = LiveState(graph)
    return [state.run(op) for op in order]

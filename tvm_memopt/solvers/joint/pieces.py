"""A graph as seen by an integer programme: pieces of memory with one address each, and pairs that may share one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from tvm_memopt.graph import Graph, Lifetimes
from tvm_memopt.graph.sharing import common_nbytes
from tvm_memopt.solvers.joint.windows import Windows, windows


@dataclass(frozen=True, slots=True)
class Piece:
    """A planned tensor or a workspace of at least one byte.

    It is live from ``opener`` (None for an arena input, live from step 0) to the last of ``closers`` or, if
    ``returned``, to the last step. An unread arena input has no closers: it is live at step 0 only.
    """

    tensor: int | None
    nbytes: int
    opener: int | None
    closers: tuple[int, ...]
    returned: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """``op`` may write ``target`` over ``source`` if no other op reads ``source`` later.

    ``distance``: how far, in bytes, the source must at least begin above the target; None: both at one address.
    ``nbytes``: most bytes in common.
    """

    source: int
    target: int
    op: int
    distance: int | None
    nbytes: int


@dataclass(frozen=True)
class Pieces:
    """Everything about memory that depends on the order of ``graph``."""

    graph: Graph
    pieces: tuple[Piece, ...]
    pairs: tuple[Pair, ...]

    @cached_property
    def windows(self) -> Windows:
        """The range of steps of each op, derived from the precedences."""
        return windows(self.graph)

    def surely_before(self, one: Piece, other: Piece) -> bool:
        """Whether ``one`` is dead before ``other`` becomes live, in every order."""
        if one.returned or other.opener is None:
            return False
        ahead = self.windows.before[other.opener]
        return ahead != 0 if not one.closers else all(ahead >> closer & 1 for closer in one.closers)

    def surely_meet(self, one: Piece, other: Piece) -> bool:
        """Whether the two are live at a common step in every order."""
        return self._begins_in_time(one, other) and self._begins_in_time(other, one)

    def _begins_in_time(self, one: Piece, other: Piece) -> bool:
        """Whether ``one`` becomes live no later than ``other`` dies, in every order."""
        if one.opener is None or other.returned:
            return True
        bit = 1 << one.opener
        return any(closer == one.opener or self.windows.before[closer] & bit for closer in other.closers)

    def offsets(self, lives: Lifetimes, order: Sequence[int], placed: Sequence[int]) -> list[int]:
        """Map ``placed``, an offset per piece, to the buffers of ``order``; 0 for buffers without bytes."""
        by_tensor = {p.tensor: x for p, x in zip(self.pieces, placed, strict=True) if p.tensor is not None}
        by_op = {p.opener: x for p, x in zip(self.pieces, placed, strict=True) if p.tensor is None}
        return [by_op[order[b.first]] if b.tensor is None else by_tensor.get(b.tensor, 0) for b in lives.buffers]

    def placed(self, lives: Lifetimes, order: Sequence[int], offsets: Sequence[int]) -> list[int]:
        """The inverse of ``offsets``: one offset per piece."""
        found: dict[tuple[int | None, int | None], int] = {}
        for b, offset in zip(lives.buffers, offsets, strict=True):
            found[b.tensor, order[b.first] if b.tensor is None else None] = offset
        return [found[p.tensor, p.opener if p.tensor is None else None] for p in self.pieces]


def pieces_of(graph: Graph) -> Pieces:
    """The pieces and pairs of ``graph``. Closers that always run before another closer are left out. O(edges)."""
    before = windows(graph).before
    pieces: list[Piece] = []
    index: dict[int, int] = {}
    for tensor_id, tensor in enumerate(graph.tensors):
        if not graph.ops or not graph.planned[tensor_id] or not tensor.nbytes:
            continue
        producer = graph.producer[tensor_id]
        opener = producer if producer >= 0 else None
        readers = graph.readers[tensor_id] or (() if opener is None else (opener,))
        closers = tuple(r for r in readers if not any(before[other] >> r & 1 for other in readers))
        index[tensor_id] = len(pieces)
        pieces.append(Piece(tensor_id, tensor.nbytes, opener, closers, tensor_id in graph.returned))
    pieces += [Piece(None, op.workspace, i, (i,), False) for i, op in enumerate(graph.ops) if op.workspace]
    return Pieces(graph, tuple(pieces), tuple(_pairs(graph, index, pieces)))


def _pairs(graph: Graph, index: dict[int, int], pieces: Sequence[Piece]) -> list[Pair]:
    """In-place pairs usable in some order: ``op`` can be the last reader of its input."""
    found: list[Pair] = []
    for op_id, row in enumerate(graph.sharing):
        for p in row:
            if p.source not in index or p.target not in index or p.source in graph.returned:
                continue
            ends = index[p.source], index[p.target], op_id
            sizes = graph.tensors[p.source].nbytes, graph.tensors[p.target].nbytes
            if p.distance is not None:
                found.append(Pair(*ends, p.distance, common_nbytes(*sizes, p.distance)))
            if p.equal and (p.distance is None or p.distance > 0):
                found.append(Pair(*ends, None, min(sizes)))
    return [pair for pair in found if pair.op in pieces[pair.source].closers]

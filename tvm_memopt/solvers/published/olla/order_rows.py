"""OLLA's lifetimes (its equations 1 to 11): when each op runs, and which pieces are live at each step.

x[o, t] is OLLA's G for all outputs of op o, which its equation 6 makes equal. P[e, t] means that piece e is preserved
into step t. One op runs per step, so the memory at a step is that of a sequential program.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from tvm_memopt.solvers.joint.pieces import Pair, Piece, Pieces
from tvm_memopt.solvers.published.olla.programme import Programme


@dataclass(frozen=True)
class Spans:
    """First and last possible step of each op."""

    earliest: Sequence[int]
    latest: Sequence[int]


@dataclass
class Timetable:
    """The variables; a missing one is 0. ``shares[k, t]``: pair k shares its bytes at step t."""

    pieces: Pieces
    spans: Spans
    programme: Programme
    x: dict[tuple[int, int], int] = field(default_factory=dict)
    preserved: dict[tuple[int, int], int] = field(default_factory=dict)
    shares: dict[tuple[Pair, int], int] = field(default_factory=dict)

    @property
    def steps(self) -> range:
        """All steps."""
        return range(len(self.pieces.graph.ops))

    def live(self, index: int, step: int) -> dict[int, int]:
        """Terms that sum to 1 if piece ``index`` is live at ``step``: OLLA's G + P."""
        opener = self.pieces.pieces[index].opener
        found = [self.preserved.get((index, step)), None if opener is None else self.x.get((opener, step))]
        return {variable: 1 for variable in found if variable is not None}

    def order(self, values: Sequence[int]) -> tuple[int, ...]:
        """The order in a solution."""
        step = {op: t for (op, t), variable in self.x.items() if values[variable]}
        return tuple(sorted(step, key=step.__getitem__))


def spans_of(pieces: Pieces, disabled: Collection[str], order: Sequence[int] | None = None) -> Spans:
    """The windows; all steps if that technique is disabled; for a known ``order``, the one step of each op."""
    count = len(pieces.graph.ops)
    if order is not None:
        step = {op: t for t, op in enumerate(order)}
        fixed = tuple(step[op] for op in range(count))
        return Spans(fixed, fixed)
    if "windows" in disabled:
        return Spans((0,) * count, (count - 1,) * count)
    return Spans(pieces.windows.earliest, pieces.windows.latest)


def add_timetable(programme: Programme, pieces: Pieces, spans: Spans, disabled: Collection[str]) -> Timetable:
    """Add the variables and rows of the order."""
    table = Timetable(pieces, spans, programme)
    for op in table.steps:
        for t in range(spans.earliest[op], spans.latest[op] + 1):
            table.x[op, t] = programme.variable()
        programme.add({table.x[op, t]: 1 for t in table.steps if (op, t) in table.x}, low=1, high=1)
    for t in table.steps:
        programme.add({table.x[op, t]: 1 for op in table.steps if (op, t) in table.x}, low=1, high=1)
    _add_precedences(table)
    for index, piece in enumerate(pieces.pieces):
        _add_preserved(table, index, piece, "must-preserve" not in disabled)
    _add_sharing(table)
    return table


def _add_precedences(table: Timetable) -> None:
    """OLLA's control edges, for every edge: an op can run by step t only if its predecessor has run by t - 1."""
    for op, predecessors in enumerate(table.pieces.graph.predecessors):
        for predecessor in predecessors:
            for t in range(table.spans.earliest[op], table.spans.latest[op] + 1):
                terms = {table.x[op, s]: 1 for s in range(t + 1) if (op, s) in table.x}
                terms |= {table.x[predecessor, s]: -1 for s in range(t) if (predecessor, s) in table.x}
                table.programme.add(terms, high=0)


def _add_preserved(table: Timetable, index: int, piece: Piece, fix: bool) -> None:
    """P over the lifetime of the piece, with equations 2 (no return), 5 (read while held), 9 and 11."""
    if piece.opener in piece.closers and not piece.returned:  # a workspace, or an output without readers
        return
    spans, programme, x = table.spans, table.programme, table.x
    born = -1 if piece.opener is None else spans.earliest[piece.opener]
    made = -1 if piece.opener is None else spans.latest[piece.opener]
    last = table.steps[-1] if piece.returned else max((spans.latest[c] for c in piece.closers), default=0)
    sure = table.steps[-1] if piece.returned else max((spans.earliest[c] for c in piece.closers), default=0)
    for t in range(born + 1, last + 1):
        held = (fix and made < t <= sure) or (piece.opener is None and t == 0)
        variable = table.preserved[index, t] = programme.variable(int(held))
        if t:
            before = table.live(index, t - 1)
            programme.add({variable: 1, **dict.fromkeys(before, -1)}, high=0, low=0 if piece.returned else None)
    for closer in set(piece.closers) - {piece.opener}:
        for t in range(spans.earliest[closer], spans.latest[closer] + 1):
            preserved = table.preserved.get((index, t))
            programme.add({x[closer, t]: 1} | ({} if preserved is None else {preserved: -1}), high=0)


def _add_sharing(table: Timetable) -> None:
    """A pair shares at step t only if its op runs there and its input is not preserved further."""
    programme, used = table.programme, dict[tuple[str, int], dict[int, int]]()
    for pair in table.pieces.pairs:
        for t in range(table.spans.earliest[pair.op], table.spans.latest[pair.op] + 1):
            shares = table.shares[pair, t] = programme.variable()
            programme.add({shares: 1, table.x[pair.op, t]: -1}, high=0)
            if (pair.source, t + 1) in table.preserved:
                programme.add({shares: 1, table.preserved[pair.source, t + 1]: 1}, high=1)
            if pair.distance is None:  # at a distance, several inputs may overlap an output in different places
                used.setdefault(("source", pair.source), {})[shares] = 1
                used.setdefault(("target", pair.target), {})[shares] = 1
    for terms in used.values():
        programme.add(terms, high=1)


def add_loads(table: Timetable, sizes: Sequence[int], peak: int) -> None:
    """Equation 10: the pieces live at each step need at most ``peak``; shared bytes count once."""
    for t in table.steps:
        terms: dict[int, int] = {peak: -1}
        for index, size in enumerate(sizes):
            for variable in table.live(index, t):
                terms[variable] = terms.get(variable, 0) + size
        for (pair, step), shares in table.shares.items():
            if step == t:
                terms[shares] = -pair.nbytes * sizes[pair.source] // table.pieces.pieces[pair.source].nbytes
        table.programme.add(terms, high=0)


def hint_order(table: Timetable, order: Sequence[int], offsets: Mapping[int, int] | None = None) -> None:
    """Start from ``order``, with the offsets of pieces where they decide which pairs share."""
    step = {op: t for t, op in enumerate(order)}
    hints = table.programme.hints
    for (op, t), variable in table.x.items():
        hints[variable] = int(step[op] == t)
    last = {
        index: len(order) - 1 if piece.returned else max((step[c] for c in piece.closers), default=0)
        for index, piece in enumerate(table.pieces.pieces)
    }
    for (index, t), variable in table.preserved.items():
        opener = table.pieces.pieces[index].opener
        hints[variable] = int((-1 if opener is None else step[opener]) < t <= last[index])
    if offsets is None:
        return
    for (pair, t), variable in table.shares.items():
        meet = step[pair.op] == t == last[pair.source]
        above = offsets[pair.source] - offsets[pair.target]
        hints[variable] = int(meet and (above == 0 if pair.distance is None else above >= pair.distance))

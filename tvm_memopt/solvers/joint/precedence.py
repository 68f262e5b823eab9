"""A joint model of order and addresses on precedences, "op a runs before op b", instead of OLLA's steps.

Liveness is modelled at ops, not at steps. Two pieces overlap in time if and only if one is live where the other
begins, and the peak is at the step of some op. The model therefore needs no time index, and propagating one
precedence reaches every load and every address that depends on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any

from tvm_memopt.graph import align_up
from tvm_memopt.solvers.joint.pieces import Pair, Piece, Pieces


@dataclass
class JointModel:
    """The CP-SAT model of all plans of ``lower`` to ``upper`` bytes. ``before[a, b]``: op a runs before op b."""

    pieces: Pieces
    lower: int
    upper: int
    model: Any
    arena: Any
    before: Mapping[tuple[int, int], Any]
    offsets: Sequence[Any]
    shared: dict[Pair, Any] = field(default_factory=dict)
    held: dict[tuple[int, int], Any] = field(default_factory=dict)

    @cached_property
    def padded(self) -> list[int]:
        """Bytes of each piece, including padding to the alignment."""
        return [align_up(p.nbytes, self.pieces.graph.alignment) for p in self.pieces.pieces]

    @cached_property
    def unit(self) -> int:
        """Unit of offsets in bytes, the common divisor of the padded sizes.

        In a placement pushed down as far as possible, all offsets are sums of padded sizes and distances.
        """
        return math.gcd(*self.padded, *(pair.distance or 0 for pair in self.pieces.pairs)) or 1

    def order(self, value: Callable[[Any], int]) -> tuple[int, ...]:
        """The order in a solution, read through ``value``."""
        rank = [0] * len(self.pieces.graph.ops)
        for (_, later), literal in self.before.items():
            rank[later] += value(literal)
        return tuple(sorted(range(len(rank)), key=rank.__getitem__))

    def hint(self, order: Sequence[int]) -> None:
        """Start the search from ``order``."""
        step = {op: index for index, op in enumerate(order)}
        for one, other in combinations(range(len(order)), 2):
            if self.pieces.windows.free(one, other):
                self.model.add_hint(self.before[one, other], step[one] < step[other])


def free_triples(pieces: Pieces) -> int:
    """Number of triples of ops that can run in any order. Each of them adds two clauses to the model."""
    windows, ops = pieces.windows, range(len(pieces.graph.ops))
    free = [sum(1 << other for other in ops if windows.free(op, other)) for op in ops]
    return sum((free[a] & free[b] & -1 << b).bit_count() for a, b in combinations(ops, 2) if free[a] >> b & 1)


def build(pieces: Pieces, lower: int, upper: int) -> JointModel:
    """Build the model. Its objective is the arena in bytes."""
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    arena = model.new_int_var(lower, upper, "arena")
    joint = JointModel(pieces, lower, upper, model, arena, _orders(model, pieces), [])
    joint.offsets = [model.new_int_var(0, max(0, upper - p.nbytes) // joint.unit, "") for p in pieces.pieces]
    for offset, piece in zip(joint.offsets, pieces.pieces, strict=True):
        model.add(offset * joint.unit + piece.nbytes <= arena)
    _add_sharing(joint)
    for index, piece in enumerate(pieces.pieces):
        for op in range(len(pieces.graph.ops)):
            joint.held[index, op] = _held(joint, piece, op)
    _add_loads(joint)
    _add_addresses(joint)
    model.minimize(arena)
    return joint


def _orders(model: Any, pieces: Pieces) -> dict[tuple[int, int], Any]:
    """A literal for each pair of ops, constant where the graph fixes their order. Together they form a total order.

    If a always runs before b, "c before a" implies "c before b". Direct predecessors suffice for these clauses.
    """
    windows, count = pieces.windows, len(pieces.graph.ops)
    always, before = model.new_constant(1), {}
    for one, other in combinations(range(count), 2):
        known = bool(windows.before[other] >> one & 1), bool(windows.before[one] >> other & 1)
        literal = model.new_bool_var("") if not any(known) else always if known[0] else ~always
        before[one, other], before[other, one] = literal, ~literal
    for b, predecessors in enumerate(pieces.graph.predecessors):
        for a in predecessors:
            for c in range(count):
                if windows.free(c, a) and windows.free(c, b):
                    model.add_implication(before[c, a], before[c, b])
    for a, b in combinations(range(count), 2):
        for c in range(b + 1, count) if windows.free(a, b) else ():
            if windows.free(a, c) and windows.free(b, c):
                model.add_bool_or(before[b, a], before[c, b], before[a, c])
                model.add_bool_or(before[a, b], before[b, c], before[c, a])
    return before


def _add_sharing(joint: JointModel) -> None:
    """A literal for each in-place pair. If true, both lie as it says and the input's other readers run first.

    Of the pairs at one address, each input and each output is in one. Several inputs may overlap an output at a
    distance, each in another place.
    """
    model, used = joint.model, dict[tuple[str, int], list[Any]]()
    for pair in joint.pieces.pairs:
        shares = joint.shared[pair] = model.new_bool_var("")
        above = joint.offsets[pair.source] - joint.offsets[pair.target]
        if pair.distance is None:
            model.add(above == 0).only_enforce_if(shares)
        else:
            model.add(above >= pair.distance // joint.unit).only_enforce_if(shares)
        for closer in joint.pieces.pieces[pair.source].closers:
            if closer != pair.op:
                model.add_implication(shares, joint.before[closer, pair.op])
        if pair.distance is None:
            used.setdefault(("source", pair.source), []).append(shares)
            used.setdefault(("target", pair.target), []).append(shares)
    for switches in used.values():
        model.add_at_most_one(switches)


def _held(joint: JointModel, piece: Piece, op: int) -> Any:
    """A literal for "``piece`` is live while ``op`` runs"."""
    model, before = joint.model, joint.before
    if op == piece.opener or op in piece.closers:
        return model.new_constant(1)
    if not piece.closers and not piece.returned:  # live at step 0 only
        others = [before[other, op] for other in range(len(joint.pieces.graph.ops)) if other != op]
        return _any_of(model, others, True)
    begun = model.new_constant(1) if piece.opener is None else before[piece.opener, op]
    if piece.returned:
        return begun
    last = _any_of(model, [before[op, closer] for closer in piece.closers], False)
    return last if piece.opener is None else ~_any_of(model, [~begun, ~last], False)


def _any_of(model: Any, literals: Sequence[Any], negated: bool) -> Any:
    """A literal equivalent to "one of ``literals`` is true", or to its negation if ``negated``."""
    if len(literals) == 1:
        return ~literals[0] if negated else literals[0]
    found = model.new_bool_var("")
    model.add_bool_or(*literals, ~found)
    for literal in literals:
        model.add_implication(literal, found)
    return ~found if negated else found


def _add_loads(joint: JointModel) -> None:
    """At each op, the live pieces must fit in the arena. All are padded except the topmost one."""
    model, unit, alignment = joint.model, joint.unit, joint.pieces.graph.alignment
    height = model.new_int_var(-(-joint.lower // unit), -(-joint.upper // unit), "")
    model.add(height * unit <= joint.arena + alignment - 1)
    sizes = [nbytes // unit for nbytes in joint.padded]
    for op in range(len(joint.pieces.graph.ops)):
        load = sum(joint.held[index, op] * size for index, size in enumerate(sizes))
        saved = sum(switch * -(-pair.nbytes // unit) for pair, switch in joint.shared.items() if pair.op == op)
        model.add(load - saved <= height)
        if alignment > 1:
            model.add((load - saved) * unit - _topmost_padding(joint, op) <= joint.arena)


def _topmost_padding(joint: JointModel, op: int) -> Any:
    """Padding of one piece live at ``op``; the solver chooses which."""
    slack = {i: padded - p.nbytes for i, (padded, p) in enumerate(zip(joint.padded, joint.pieces.pieces, strict=True))}
    topmost = {index: joint.model.new_bool_var("") for index, nbytes in slack.items() if nbytes}
    for index, literal in topmost.items():
        joint.model.add_implication(literal, joint.held[index, op])
    joint.model.add_at_most_one(topmost.values())
    return sum(literal * slack[index] for index, literal in topmost.items())


def _add_addresses(joint: JointModel) -> None:
    """Of two pieces that are live together, one lies above the other, unless they share."""
    pieces = joint.pieces.pieces
    sharing: dict[frozenset[int], list[Any]] = {}
    for pair, switch in joint.shared.items():
        sharing.setdefault(frozenset((pair.source, pair.target)), []).append(switch)
    for one, other in combinations(range(len(pieces)), 2):
        p, q = pieces[one], pieces[other]
        if joint.pieces.surely_before(p, q) or joint.pieces.surely_before(q, p):
            continue
        below, above = (_lies_below(joint, a, b) for a, b in ((one, other), (other, one)))
        apart = [below, above, *sharing.get(frozenset((one, other)), ())]
        for meet in _meetings(joint, one, other):
            joint.model.add_bool_or(*apart, ~meet)


def _lies_below(joint: JointModel, one: int, other: int) -> Any:
    literal = joint.model.new_bool_var("")
    gap = joint.padded[one] // joint.unit
    joint.model.add(joint.offsets[one] + gap <= joint.offsets[other]).only_enforce_if(literal)
    return literal


def _meetings(joint: JointModel, one: int, other: int) -> list[Any]:
    """Literals of which one is true if and only if the two pieces are live at a common step."""
    openers = (other, joint.pieces.pieces[one].opener), (one, joint.pieces.pieces[other].opener)
    met = [joint.held[index, op] for index, op in openers if op is not None]
    return met or [joint.model.new_constant(1)]

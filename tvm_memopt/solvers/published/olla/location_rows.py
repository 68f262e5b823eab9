"""OLLA's address constraints: of two pieces that are live together, one lies above the other."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations

from tvm_memopt.graph import align_up
from tvm_memopt.solvers.joint.pieces import Pieces
from tvm_memopt.solvers.published.olla.order_rows import Timetable


def unit_of(sizes: Sequence[int], alignment: int, disabled: Collection[str]) -> int:
    """The unit of offsets in bytes: a common divisor of ``sizes``, which are multiples of ``alignment``."""
    return alignment if "common-divisor" in disabled else math.gcd(*sizes) or alignment


def add_addresses(
    table: Timetable, arena: int, upper: int, disabled: Collection[str], fixed: Mapping[int, int]
) -> tuple[list[int], int]:
    """Return (an address variable per piece, their unit in bytes). ``arena`` is a variable in bytes, at most ``upper``.

    ``fixed``: byte offsets of pieces that are already placed. Offsets are multiples of the alignment, so padded sizes
    separate the pieces; only the end of each is counted without padding.
    """
    pieces, programme = table.pieces, table.programme
    padded = [align_up(piece.nbytes, pieces.graph.alignment) for piece in pieces.pieces]
    distances = [pair.distance for pair in pieces.pairs if pair.distance is not None]
    unit = unit_of([*padded, *distances], pieces.graph.alignment, disabled)
    addresses = []
    for index, piece in enumerate(pieces.pieces):
        low = fixed.get(index, 0) // unit
        high = low if index in fixed else max(0, upper - piece.nbytes) // unit
        addresses.append(programme.variable(low, high))
        programme.add({addresses[-1]: unit, arena: -1}, high=-piece.nbytes)
    sizes = [nbytes // unit for nbytes in padded]
    for one, other in combinations(range(len(sizes)), 2):
        if "disjoint-lives" in disabled or not _never_meet(pieces, one, other):
            _keep_apart(table, addresses, sizes, (one, other), "single-bit" not in disabled)
    _tie_sharing(table, addresses, unit)
    return addresses, unit


def _never_meet(pieces: Pieces, one: int, other: int) -> bool:
    p, q = pieces.pieces[one], pieces.pieces[other]
    return pieces.surely_before(p, q) or pieces.surely_before(q, p)


def _keep_apart(
    table: Timetable, addresses: Sequence[int], sizes: Sequence[int], pair: tuple[int, int], single_bit: bool
) -> None:
    """below + above (+ shares) >= live(one, t) + live(other, t) - 1 at every step t at which both may be live."""
    one, other = pair
    programme = table.programme
    shares = [(t, v) for (k, t), v in table.shares.items() if {k.source, k.target} == {one, other}]
    surely = single_bit and table.pieces.surely_meet(table.pieces.pieces[one], table.pieces.pieces[other])
    below = programme.variable()
    above = ~below if surely and not shares else programme.variable()
    programme.add({addresses[one]: 1, addresses[other]: -1}, high=-sizes[one], when=below)
    programme.add({addresses[other]: 1, addresses[one]: -1}, high=-sizes[other], when=above)
    if above == ~below:
        return
    programme.add({below: 1, above: 1}, high=1)
    for t in table.steps:
        live, live_other = table.live(one, t), table.live(other, t)
        if live and live_other:
            terms = {below: 1, above: 1} | {v: 1 for step, v in shares if step == t}
            for variable in (*live, *live_other):  # appears twice if both begin in one op
                terms[variable] = terms.get(variable, 0) - 1
            programme.add(terms, low=-1)


def _tie_sharing(table: Timetable, addresses: Sequence[int], unit: int) -> None:
    for (pair, _), shares in table.shares.items():
        low, high = (0, 0) if pair.distance is None else (pair.distance // unit, None)
        table.programme.add({addresses[pair.source]: 1, addresses[pair.target]: -1}, low=low, high=high, when=shares)

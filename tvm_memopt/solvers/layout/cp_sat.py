"""Exact placement with CP-SAT: one no-overlap constraint over rectangles in time × address."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from tvm_memopt.graph import Lifetimes, align_up
from tvm_memopt.solvers.cp_sat import run_cp_sat
from tvm_memopt.solvers.request import Deadline

_Answer = tuple[list[int] | None, Literal["best", "none", "unknown"]]


@dataclass(frozen=True)
class _Model:
    """A CP-SAT model and its offset variables, in multiples of ``unit`` bytes."""

    model: Any
    offsets: list[Any]
    unit: int


def place_below(
    lives: Lifetimes,
    alignment: int,
    lower: int,
    upper: int,
    *,
    hint: Sequence[int],
    deadline: Deadline,
    seed: int = 0,
    threads: int = 1,
    minimise: bool = True,
) -> _Answer:
    """Return offsets with an arena of at most ``upper`` bytes, the smallest such if ``minimise``.

    Arenas below ``lower`` are not searched. The verdict is ``"best"`` if no arena from ``lower`` up is smaller,
    ``"none"`` if no placement is that small, and ``"unknown"`` if time ran out first.
    """
    if upper < lower or any(b.nbytes > upper for b in lives.buffers):
        return None, "none"
    built = _build(lives, alignment, lower, upper, minimise)
    for variable, offset in zip(built.offsets, hint, strict=True):
        built.model.add_hint(variable, offset // built.unit)
    return _solve(built, deadline, seed, threads)


def _build(lives: Lifetimes, alignment: int, lower: int, upper: int, minimise: bool) -> _Model:
    """Build the model.

    Padding sizes to the alignment changes nothing, since every offset is a multiple of it. In a placement pushed down
    as far as possible, offsets are sums of padded sizes and distances, so their common divisor is the unit. The topmost
    buffer needs no padding: its end is bounded in bytes.
    """
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    padded = [align_up(b.nbytes, alignment) for b in lives.buffers]
    unit = math.gcd(*padded, *(overlap.distance for overlap in lives.overlaps))
    offsets = [model.new_int_var(0, (upper - b.nbytes) // unit, "") for b in lives.buffers]
    sizes = [size // unit for size in padded]
    absent = _sharing(model, lives, offsets)
    across, along = [], []
    alone = {overlap.source: lives.buffers[overlap.target].first for overlap in lives.overlaps}
    for index in range(len(lives.buffers)):
        for first, end, step in _slices(lives, index):
            if step is not None and alone.get(index) == step:
                continue
            gone = absent.get((index, step), []) if step is not None else []
            x = model.new_fixed_size_interval_var(offsets[index], sizes[index], "")
            if gone:
                present = model.new_bool_var("")
                model.add(present + sum(gone) == 1)
                x = model.new_optional_fixed_size_interval_var(offsets[index], sizes[index], present, "")
            across.append(x)
            along.append(model.new_fixed_size_interval_var(first, end - first, ""))
    model.add_no_overlap_2d(along, across)
    for source, step in alone.items():
        _keep_apart(model, lives, offsets, [size // unit for size in padded], source, step, unit)
    if minimise:
        arena = model.new_int_var(lower, upper, "")
        for offset, b in zip(offsets, lives.buffers, strict=True):
            model.add(arena >= offset * unit + b.nbytes)
        model.minimize(arena)
    return _Model(model, offsets, unit)


def _slices(lives: Lifetimes, index: int) -> list[tuple[int, int, int | None]]:
    """(first, end, step) parts of a buffer's lifetime. ``step`` is set for a single step with an in-place pair."""
    b = lives.buffers[index]
    steps = {lives.buffers[t].first for s, t in lives.inplace if index in (s, t)}
    steps |= {lives.buffers[o.target].first for o in lives.overlaps if index == o.source}
    cuts = sorted({b.first, b.last + 1, *steps, *(s + 1 for s in steps)})
    return [(low, high, low if low in steps else None) for low, high in pairwise(cuts)]


def _sharing(model: Any, lives: Lifetimes, offsets: list[Any]) -> dict[tuple[int, int], list[Any]]:
    """Return, for each (buffer, step), the literals of in-place pairs under which its slice is absent.

    If a pair's literal is true, both buffers have one offset. In the step where they overlap, the slice of the smaller
    one is absent, since that of the larger one covers it.
    """
    absent: dict[tuple[int, int], list[Any]] = {}
    used: dict[tuple[int, int], list[Any]] = {}
    overlapping = {overlap.source for overlap in lives.overlaps}
    for source, target in lives.inplace:
        if source in overlapping:
            continue
        step = lives.buffers[target].first
        shares = model.new_bool_var("")
        model.add(offsets[source] == offsets[target]).only_enforce_if(shares)
        smaller = source if lives.buffers[source].nbytes < lives.buffers[target].nbytes else target
        absent.setdefault((smaller, step), []).append(shares)
        for buffer in (source, target):
            used.setdefault((buffer, step), []).append(shares)
    for group in used.values():
        model.add_at_most_one(group)
    return absent


def _keep_apart(
    model: Any, lives: Lifetimes, offsets: list[Any], sizes: list[int], source: int, step: int, unit: int
) -> None:
    """Keep a buffer that may overlap outputs at a distance apart from all that are live at its last step.

    Each of the others lies above it or below it, or is an output that it may overlap, and does so as the pair says.
    """
    distance = {o.target: o.distance for o in lives.overlaps if o.source == source}
    equal = {t for s, t in lives.inplace if s == source}
    for other, b in enumerate(lives.buffers):
        if other == source or not b.first <= step <= b.last:
            continue
        above = offsets[source] - offsets[other]
        ways = [(above >= sizes[other]), (above <= -sizes[source])]
        ways += [above >= distance[other] // unit] if other in distance else []
        ways += [above == 0] if other in equal else []
        literals = [model.new_bool_var("") for _ in ways]
        for literal, way in zip(literals, ways, strict=True):
            model.add(way).only_enforce_if(literal)
        model.add_bool_or(literals)


def _solve(built: _Model, deadline: Deadline, seed: int, threads: int) -> _Answer:
    outcome = run_cp_sat(built.model, deadline, threads=threads, seed=seed)
    if outcome.interrupted:
        raise KeyboardInterrupt
    if not outcome.solved:
        return None, "none" if outcome.status == "infeasible" else "unknown"
    found = [outcome.value(variable) * built.unit for variable in built.offsets]
    return found, "best" if outcome.status == "optimal" else "unknown"

"""Children of good decisions: one decision changed, or two parents mixed."""

from __future__ import annotations

import numpy as np

from tvm_memopt.cost_model.tuner.predicted.sketches import Decisions, Slot

_FARTHEST = 4  # loops that a block moves in one step


def mutated(decisions: Decisions, slots: tuple[Slot, ...], rng: np.random.Generator) -> Decisions:
    """One or two decisions changed. A tile passes a divisor of one factor to another."""
    child = list(decisions)
    for _ in range(1 + int(rng.random() < 0.3)):
        open_slots = [n for n, slot in enumerate(slots) if _changeable(slot, child[n])]
        if not open_slots:
            break
        number = int(rng.choice(open_slots))
        child[number] = _changed(child[number], slots[number], rng)
    return tuple(child)


def mixed(one: Decisions, other: Decisions, rng: np.random.Generator) -> Decisions:
    """Each decision from one of two parents."""
    return tuple(a if rng.random() < 0.5 else b for a, b in zip(one, other, strict=True))


def _changeable(slot: Slot, decision: tuple[int, ...]) -> bool:
    if slot.kind == "SamplePerfectTile":
        return slot.parts > 1 and max(decision) > 1
    return slot.kind != "SampleCategorical" or slot.limit > 1


def _changed(decision: tuple[int, ...], slot: Slot, rng: np.random.Generator) -> tuple[int, ...]:
    if slot.kind == "SampleCategorical":
        return (int(rng.choice([n for n in range(slot.limit) if n != decision[0]])),)
    if slot.kind != "SamplePerfectTile":
        if rng.random() < 0.3:
            return (-1,)
        return (max(-1, decision[0] + int(rng.choice([-1, 1])) * int(rng.integers(1, _FARTHEST + 1))),)
    factors = list(decision)
    giver = int(rng.choice([n for n, factor in enumerate(factors) if factor > 1]))
    taker = int(rng.choice([n for n in range(len(factors)) if n != giver]))
    part = int(rng.choice([d for d in range(2, factors[giver] + 1) if factors[giver] % d == 0]))
    factors[giver] //= part
    factors[taker] *= part
    return tuple(factors) if factors[-1] <= slot.limit else decision

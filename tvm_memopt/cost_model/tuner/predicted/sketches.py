"""Sketches: the traces of MetaSchedule's design space, with their sampled decisions left open.

MetaSchedule's own search replays whole traces. Most of that time goes into SampleComputeLocation, which analyses the
regions of all loops where a block might be computed. Here the loop is a number like any other decision, and a loop that
does not work is found by trying.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import tvm
from tvm import s_tir
from tvm.s_tir import meta_schedule as ms

from tvm_memopt.cost_model.tuner.design_space import cpu_design_space
from tvm_memopt.native_output import native_stderr_discarded
from tvm_memopt.passes.tir.threads import thread_count

Decisions: TypeAlias = tuple[tuple[int, ...], ...]
"""One entry for each open decision: the factors of a tile; else one number, an option's or a loop's (-1: no loop)."""

_TILE, _OPTION, _PLACE, _MOVE = "SamplePerfectTile", "SampleCategorical", "SampleComputeLocation", "ComputeAt"
_SHAPING = (_TILE, _OPTION, _PLACE, "Reorder", "ReverseComputeAt", "CacheWrite", "CacheRead", "RFactor", "Fuse")
_ROOT = -1


@dataclass(frozen=True)
class Slot:
    """An open decision. ``kind``: of the instruction; ``parts``: factors of a tile; ``limit``: of the innermost factor,
    or the number of options."""

    kind: str
    parts: int = 1
    limit: int = 1


@dataclass(frozen=True)
class Built:
    """A schedule of a sketch and the decisions it took."""

    schedule: s_tir.Schedule
    decisions: Decisions


class Sketch:
    """One trace. ``slots``: its open decisions. ``signature``: equal for sketches whose decisions mean the same."""

    def __init__(self, mod: tvm.IRModule, trace: s_tir.schedule.Trace, postprocs: Sequence[Any]) -> None:
        self._mod, self._postprocs = mod, postprocs
        steps = list(trace.insts)
        cut = _places_start(steps)
        self._head, places = steps[:cut], [step for step in steps[cut:] if step.kind.name == _PLACE]
        self._moved = [_position(self._head, place.inputs[0]) for place in places]
        self._sampled = [n for n, step in enumerate(self._head) if step.kind.name.startswith("Sample")]
        self.slots = (*(_slot(self._head[n]) for n in self._sampled), *(Slot(_PLACE) for _ in places))
        self.signature = " ".join(step.kind.name for step in steps if step.kind.name in _SHAPING)

    def build(self, decisions: Decisions | None, seed: int) -> Built | None:
        """The schedule with these decisions, or with random ones. None: they do not work."""
        try:
            with native_stderr_discarded():
                return self._build(decisions, seed)
        except (RuntimeError, ValueError, TypeError):
            return None

    def _build(self, decisions: Decisions | None, seed: int) -> Built | None:
        schedule = s_tir.Schedule(self._mod, seed=seed % (2**31 - 2) + 1, error_render_level="none")
        given = {}
        for number, decision in zip(self._sampled, decisions or (), strict=False):
            step = self._head[number]
            given[step] = list(decision) if step.kind.name == _TILE else decision[0]
        s_tir.schedule.Trace(self._head, given).apply_to_schedule(schedule, remove_postproc=True)
        steps = list(schedule.trace.insts)
        taken = [_taken(schedule.trace.get_decision(steps[n])) for n in self._sampled]
        for number, (step, output) in enumerate(self._moved):
            chosen = None if decisions is None else decisions[len(self._sampled) + number][0]
            taken.append((_move(schedule, steps[step].outputs[output], chosen, seed + number),))
        schedule.enter_postproc()
        if not all(postproc.apply(schedule) for postproc in self._postprocs):
            return None
        return Built(schedule, tuple(taken))


def sketches(mod: tvm.IRModule, target: tvm.target.Target) -> list[Sketch]:
    """The sketches of the function ``main``. With one thread, no loop becomes parallel."""
    context = ms.TuneContext(
        mod=mod, target=target, space_generator=cpu_design_space(parallel=thread_count(target) > 1), task_name="main",
        num_threads=1, rand_state=1,
    )  # fmt: skip
    postprocs = list(ms.postproc.Postproc.create("llvm"))
    for postproc in postprocs:
        postproc._initialize_with_tune_context(context)
    return [Sketch(mod, schedule.trace, postprocs) for schedule in context.generate_design_space()]


def _places_start(steps: Sequence[Any]) -> int:
    """The position from which on a trace only chooses loops and moves blocks there."""
    cut = len(steps)
    while cut >= 2 and steps[cut - 1].kind.name == _MOVE and steps[cut - 2].kind.name == _PLACE:
        cut -= 2
    return cut


def _position(steps: Sequence[Any], variable: Any) -> tuple[int, int]:
    """The instruction that makes a variable, and which of its outputs it is."""
    for number, step in enumerate(steps):
        for output, made in enumerate(step.outputs):
            if made.same_as(variable):
                return number, output
    raise ValueError("a trace uses a block that it never names")


def _slot(step: Any) -> Slot:
    if step.kind.name == _TILE:
        return Slot(_TILE, int(step.attrs[0]), int(step.attrs[1]))
    return Slot(step.kind.name, 1, len(step.attrs[0]) if step.kind.name == _OPTION else 1)


def _taken(decision: Any) -> tuple[int, ...]:
    return tuple(int(part) for part in decision) if hasattr(decision, "__iter__") else (int(decision),)


def _move(schedule: s_tir.Schedule, block: Any, chosen: int | None, seed: int) -> int:
    """Compute a block at a loop of its reader: the chosen one, or a random one."""
    loops = schedule.get_loops(schedule.get_consumers(block)[0])
    place = seed * 40503 % (len(loops) + 1) - 1 if chosen is None else min(chosen, len(loops) - 1)
    if place != _ROOT:
        schedule.compute_at(block, loops[place], preserve_unit_loops=True)
    return place


def fitted(decisions: Decisions, like: Decisions, slots: Sequence[Slot]) -> Decisions:
    """Decisions of another kernel's sketch with the same signature, fitted to the extents of this one.

    ``like``: any decisions of this sketch; their tiles tell the extents.
    """
    return tuple(
        _refactored(chosen, math.prod(own)) if slot.kind == _TILE else chosen
        for chosen, own, slot in zip(decisions, like, slots, strict=True)
    )


def _refactored(factors: tuple[int, ...], extent: int) -> tuple[int, ...]:
    """Factors of ``extent``, from the innermost on the largest that do not exceed the given ones."""
    found: list[int] = []
    for factor in reversed(factors[1:]):
        found.append(max(d for d in range(1, factor + 1) if extent % d == 0))
        extent //= found[-1]
    return (extent, *reversed(found))

"""Restore TVM's own loops where the arena has room, without a search and without a larger arena.

A kernel planned in its smallest form, with padding and other data movement folded into the loops that read the
result, can be slower. After planning, a kernel gets TVM's own loops back if their scratch buffers fit into free bytes
of the arena at every step where it runs. Otherwise its other forms that are faster than the planned one are tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tvm_memopt.graph import Plan, align_up
from tvm_memopt.passes.relax.extract import Extraction
from tvm_memopt.passes.relax.inplace import Pair, Pairs
from tvm_memopt.passes.tir.form_times import FormTimes
from tvm_memopt.passes.tir.statements import nbytes_of
from tvm_memopt.passes.tir.workspace import Kernel, KernelForms


@dataclass(frozen=True)
class Unfolded:
    """A kernel in a faster form, with scratch buffers in bytes that the plan leaves free.

    ``kernel``: the form named ``form``. ``offsets[step]``: arena offsets of its scratch buffers.
    """

    form: str
    kernel: Kernel
    offsets: Mapping[int, tuple[int, ...]]


def unfold_kernels(
    extraction: Extraction, plan: Plan, inplace: Sequence[Pairs], times: FormTimes, planned: Mapping[str, str]
) -> dict[str, Unfolded]:
    """Find kernels that can run in a faster form than ``planned`` within the arena of ``plan``.

    ``inplace``: by step, the pairs of parameters that share an offset.
    """
    steps_of: dict[str, list[int]] = {}
    for step, op_id in enumerate(plan.schedule):
        name = extraction.operations[op_id].callee
        if name is not None and planned.get(name, "fast") != "fast":
            steps_of.setdefault(name, []).append(step)
    occupied = _occupied(plan, {s for steps in steps_of.values() for s in steps})
    found: dict[str, Unfolded] = {}
    for name, steps in steps_of.items():
        pairs = {pair for step in steps for pair in inplace[step]}
        faster, taken = _faster(name, planned[name], times), {step: occupied[step] for step in steps}
        unfolded = _first_that_fits(times.forms[name], faster, pairs, taken, plan)
        if unfolded is not None:
            found[name] = unfolded
    return found


def _faster(name: str, planned: str, times: FormTimes) -> Iterator[str]:
    """Forms to try, best first. They are measured only where TVM's own loops do not fit or may not be the fastest."""
    if times.forms[name].residues:
        order = times.fastest_first(name, times.forms[name].named)
        yield from order[: order.index(planned)]
        return
    yield "fast"
    others = [form for form in times.forms[name].named if "fast" != form != planned]
    faster = [form for form in others if times.ratio(name, form) < times.ratio(name, planned)]
    yield from times.fastest_first(name, faster)


def _first_that_fits(
    forms: KernelForms,
    names: Iterable[str],
    pairs: set[Pair],
    occupied: Mapping[int, list[tuple[int, int]]],
    plan: Plan,
) -> Unfolded | None:
    for form in names:
        kernel = forms.form(form)
        if kernel is None or not all(kernel.allows(pair) for pair in pairs):
            continue
        places = {step: _place(kernel, taken, plan.arena_nbytes, plan.alignment) for step, taken in occupied.items()}
        if all(place is not None for place in places.values()):
            return Unfolded(form, kernel, {step: place for step, place in places.items() if place is not None})
    return None


def _occupied(plan: Plan, steps: set[int]) -> dict[int, list[tuple[int, int]]]:
    """Byte ranges that tensors occupy at each of ``steps``, by ascending offset."""
    held: dict[int, list[tuple[int, int]]] = {step: [] for step in steps}
    for allocation in plan.allocations:
        if allocation.tensor is not None and allocation.nbytes:
            for step in range(allocation.first, allocation.last + 1):
                if step in held:
                    held[step].append((allocation.offset, allocation.end))
    return {step: sorted(ranges) for step, ranges in held.items()}


def _place(kernel: Kernel, taken: list[tuple[int, int]], limit: int, alignment: int) -> tuple[int, ...] | None:
    """Place each scratch buffer in the free bytes below ``limit``, largest first. None if one does not fit."""
    ranges, offsets = list(taken), [0] * len(kernel.workspace)
    sizes = [nbytes_of(buffer) or 0 for buffer in kernel.workspace]
    for index in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        start = 0
        for low, high in ranges:
            if start + sizes[index] <= low:
                break
            start = max(start, align_up(high, alignment))
        if start + sizes[index] > limit:
            return None
        offsets[index] = start
        ranges = sorted([*ranges, (start, start + sizes[index])])
    return tuple(offsets)

"""Export of the placement in MiniMalloc's CSV columns, which other allocators read too."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator

from tvm_memopt.atomic import write_text_atomic
from tvm_memopt.graph import Allocation, Graph, Plan, check

COLUMNS = ("id", "lower", "upper", "size", "offset")


def write_buffers_csv(graph: Graph, plan: Plan, path: str | os.PathLike[str]) -> None:
    """Write buffers_csv to ``path`` atomically. Raises PlanError, or MemoptError if it cannot be written."""
    write_text_atomic(path, buffers_csv(graph, plan))


def buffers_csv(graph: Graph, plan: Plan) -> str:
    """One buffer per line, live in the half-open range of steps [lower, upper); ``id`` is its index in the plan.

    The format has no in-place pairs. Where two buffers share bytes for one step, that step is removed from the life of
    the smaller buffer, since the larger one covers it. Buffers without remaining steps or without bytes are left out.
    Raises PlanError if the plan is not valid.
    """
    check(graph, plan)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(plan))
    return text.getvalue()


def _rows(plan: Plan) -> Iterator[tuple[int, int, int, int, int]]:
    lower = [a.first for a in plan.allocations]
    upper = [a.last + 1 for a in plan.allocations]
    for source, target in _sharing(plan.allocations):
        if plan.allocations[source].nbytes > plan.allocations[target].nbytes:
            lower[target] += 1
        else:
            upper[source] -= 1
    for index, a in enumerate(plan.allocations):
        if lower[index] < upper[index] and a.nbytes:
            yield index, lower[index], upper[index], a.nbytes, a.offset


def _sharing(allocations: tuple[Allocation, ...]) -> Iterator[tuple[int, int]]:
    """(dying, new) buffers that overlap in one step; in a valid plan no others overlap."""
    newborn: dict[tuple[int, int], list[int]] = {}
    for index, a in enumerate(allocations):
        if a.nbytes:
            newborn.setdefault((a.first, a.offset), []).append(index)
    for source, a in enumerate(allocations):
        for target in newborn.get((a.last, a.offset), ()):
            other = allocations[target]
            older = a.first < other.first or a.last < other.last or source < target
            if target != source and a.nbytes and older:
                yield source, target

"""Sampling of steps and addresses onto a character grid."""

from __future__ import annotations

from collections.abc import Sequence

from tvm_memopt.graph import Allocation

FREE = -1


def column_steps(column: int, width: int, steps: int) -> range:
    """The steps that a column shows, at least one. A column can show several steps, or a step several columns."""
    first = column * steps // width
    return range(first, max(first + 1, (column + 1) * steps // width))


def live_columns(live: Sequence[int], width: int) -> list[int]:
    """The most live bytes among each column's steps, so that no peak is lost."""
    return [max(live[s] for s in column_steps(column, width, len(live))) for column in range(width)]


def address_cells(allocations: Sequence[Allocation], steps: int, arena: int, width: int, rows: int) -> list[list[int]]:
    """For each row (lowest address first) and column: the allocation that covers most of the cell, or FREE.

    A cell is free if less than half of its bytes × steps are allocated.
    """
    cover: list[list[dict[int, float]]] = [[{} for _ in range(width)] for _ in range(rows)]
    spans = [column_steps(column, width, steps) for column in range(width)]
    for index, allocation in enumerate(allocations):
        _cover(cover, spans, index, allocation, max(arena, 1) / rows)
    area = [len(span) for span in spans]
    return [[_winner(cell, area[column]) for column, cell in enumerate(line)] for line in cover]


def _cover(
    cover: list[list[dict[int, float]]], spans: Sequence[range], index: int, allocation: Allocation, row_nbytes: float
) -> None:
    if not allocation.nbytes:
        return
    low, high = allocation.offset / row_nbytes, allocation.end / row_nbytes
    for column, span in enumerate(spans):
        held = min(allocation.last + 1, span.stop) - max(allocation.first, span.start)
        if held <= 0:
            continue
        for row in range(int(low), min(len(cover), int(high) + 1)):
            share = (min(high, row + 1) - max(low, row)) * held
            if share > 0:
                cover[row][column][index] = share


def _winner(cell: dict[int, float], area: float) -> int:
    if not cell:
        return FREE
    return max(cell, key=lambda block: (cell[block], block)) if 2 * sum(cell.values()) >= area else FREE

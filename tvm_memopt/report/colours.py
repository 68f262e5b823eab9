"""The palette of all charts, and the assignment of its colours to buffers."""

from __future__ import annotations

from collections.abc import Sequence

from tvm_memopt.graph import Allocation

PALETTE = ("#77aadd", "#ee8866", "#44bb99", "#eedd88", "#ffaabb", "#99ddff", "#bbcc33", "#c3a5d8")
"""Light, colour-blind-safe fills, after Paul Tol's "light" scheme. Dark labels are readable on all of them."""

WORKSPACE = "#c8c8c8"
WORKSPACE_COLOUR = -1


def assign_colours(allocations: Sequence[Allocation]) -> list[int]:
    """A palette index for each allocation: one per tensor, distinct from its neighbours where possible.

    Workspaces get WORKSPACE_COLOUR. O(allocations · live).
    """
    colours = [WORKSPACE_COLOUR] * len(allocations)
    of_tensor: dict[int, int] = {}
    used = [0] * len(PALETTE)
    near: list[int] = []
    for index in sorted(range(len(allocations)), key=lambda i: (allocations[i].first, allocations[i].offset)):
        new = allocations[index]
        near = [i for i in near if allocations[i].last >= new.first - 1]
        if new.tensor is not None:
            if new.tensor not in of_tensor:
                taken = {colours[i] for i in near if _touch(allocations[i], new)}
                of_tensor[new.tensor] = min(range(len(PALETTE)), key=lambda c: (c in taken, used[c], c))
            colours[index] = of_tensor[new.tensor]
            used[colours[index]] += 1
        near.append(index)
    return colours


def _touch(old: Allocation, new: Allocation) -> bool:
    slack = max(old.nbytes, new.nbytes) // 8
    return old.offset <= new.end + slack and new.offset <= old.end + slack

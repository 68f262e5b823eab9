"""The range of steps at which each op can run, from its ancestors and descendants (OLLA's ASAP and ALAP)."""

from __future__ import annotations

from dataclasses import dataclass

from tvm_memopt.graph import Graph


@dataclass(frozen=True)
class Windows:
    """For each op: ancestors ``before`` and descendants ``after`` as bit sets, and the first and last possible step."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    earliest: tuple[int, ...]
    latest: tuple[int, ...]

    def free(self, one: int, other: int) -> bool:
        """Whether the two ops can run in either order."""
        return one != other and not (self.before[one] | self.after[one]) >> other & 1


def windows(graph: Graph) -> Windows:
    """ASAP(op) is the number of its ancestors; ALAP(op) leaves room for its descendants. O(ops · edges / 64)."""
    count = len(graph.ops)
    before, after = [0] * count, [0] * count
    for op, predecessors in enumerate(graph.predecessors):
        for predecessor in predecessors:
            before[op] |= before[predecessor] | 1 << predecessor
    for op in reversed(range(count)):
        for successor in graph.successors[op]:
            after[op] |= after[successor] | 1 << successor
    return Windows(
        tuple(before),
        tuple(after),
        tuple(ops.bit_count() for ops in before),
        tuple(count - 1 - ops.bit_count() for ops in after),
    )

"""When an op can run at all, from the transitive precedences (OLLA's ASAP and ALAP, one op a step)."""

from __future__ import annotations

from dataclasses import dataclass

from tvm_memopt.graph import Graph


@dataclass(frozen=True)
class Windows:
    """Per op: ``before`` and ``after`` as bit sets of ops, and the first and last step that it can have."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    earliest: tuple[int, ...]
    latest: tuple[int, ...]

    def free(self, one: int, other: int) -> bool:
        """Whether either of the two ops can come first."""
        return one != other and not (self.before[one] | self.after[one]) >> other & 1


def windows(graph: Graph) -> Windows:
    """ASAP(op) is the number of its ancestors, ALAP(op) leaves room for its descendants. O(ops · edges / 64)."""
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

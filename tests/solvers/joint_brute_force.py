"""The least arena over every order and every placement, by code that shares nothing with the solvers.

Orders are walked set by set: what is held at a step depends only on the ops that ran before it. Of an order
the placement sees only which blocks of memory meet, so of two ways to run the same ops the one whose
meetings include the other's is dropped, and so is one that cannot end below the best arena known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations

from tests.solvers.packing import Block, Packing, least_height, least_packing
from tvm_memopt.graph import Graph


def least_joint_arena(graph: Graph) -> int:
    """The smallest arena of any plan that runs every op of ``graph`` once; for up to some 16 ops."""
    if not graph.ops:
        return 0
    walk = _Walk(graph)
    floor = walk.least_height(0)
    best = walk.pack(walk.low_order(), sum(block.padded for block in walk.blocks) + 1)
    assert best is not None
    return best if best == floor else _search(walk, floor, best)


def _search(walk: _Walk, floor: int, best: int) -> int:
    """Depth first over the orders whose every step is lower than ``best``."""
    seen: dict[int, list[int]] = {}
    stack: list[tuple[int, int, tuple[int, ...]]] = [(0, 0, ())]
    while stack and best > floor:
        done, meetings, order = stack.pop()
        if walk.least_height(done) >= best or any(known & ~meetings == 0 for known in seen.get(done, ())):
            continue
        seen[done] = [known for known in seen.get(done, ()) if meetings & ~known] + [meetings]
        if len(order) == len(walk.graph.ops):
            found = walk.pack(order, best)
            best = best if found is None else found
        for op in walk.ready(done):
            if walk.height(done, op) < best:
                stack.append((done | 1 << op, meetings | walk.meetings(done, op), (*order, op)))
    return best


@dataclass
class _Walk:
    """``graph`` as blocks: tensors with bytes of their own and workspaces. Sets of ops are bit sets."""

    graph: Graph
    blocks: list[Block] = field(default_factory=list)
    openers: list[int | None] = field(default_factory=list)
    readers: list[int] = field(default_factory=list)
    returned: list[bool] = field(default_factory=list)
    needs: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._add_tensors()
        for op_id, op in enumerate(self.graph.ops):
            if op.workspace:
                self._add(op.workspace, op_id, 1 << op_id, False)
            self.needs.append(self._before(op_id))
        self.height = cache(self.height)  # type: ignore[method-assign]
        self.least_height = cache(self.least_height)  # type: ignore[method-assign]
        self.meetings = cache(self.meetings)  # type: ignore[method-assign]

    def _add_tensors(self) -> None:
        self.block_of: dict[int, int] = {}
        for tensor_id, tensor in enumerate(self.graph.tensors):
            if tensor.arena and tensor.alias_of is None and tensor.nbytes:
                self.block_of[tensor_id] = len(self.blocks)
                opener = next((i for i, op in enumerate(self.graph.ops) if tensor_id in op.outputs), None)
                readers = [
                    i for i, op in enumerate(self.graph.ops) if any(self._storage(t) == tensor_id for t in op.inputs)
                ]
                returned = any(self._storage(t) == tensor_id for t in self.graph.outputs)
                self._add(tensor.nbytes, opener, sum(1 << i for i in readers), returned)

    def _add(self, nbytes: int, opener: int | None, readers: int, returned: bool) -> None:
        padded = -(-nbytes // self.graph.alignment) * self.graph.alignment
        self.blocks.append(Block(nbytes, padded))
        self.openers.append(opener)
        self.readers.append(readers)
        self.returned.append(returned)

    def _storage(self, tensor: int) -> int:
        parent = self.graph.tensors[tensor].alias_of
        return tensor if parent is None else self._storage(parent)

    def _before(self, op_id: int) -> int:
        wanted: set[int] = set()
        for tensor in (*self.graph.ops[op_id].inputs, *self.graph.ops[op_id].outputs):
            current: int | None = tensor
            while current is not None:
                wanted.add(current)
                current = self.graph.tensors[current].alias_of
        return sum(1 << i for i, op in enumerate(self.graph.ops) if i != op_id and wanted & set(op.outputs))

    def ready(self, done: int) -> Iterator[int]:
        return (op for op, needs in enumerate(self.needs) if not done >> op & 1 and not needs & ~done)

    def held(self, done: int, op: int) -> frozenset[int]:
        """Blocks held while ``op`` runs after the ops of ``done``."""
        return frozenset(index for index in range(len(self.blocks)) if self._is_held(index, done, op))

    def _is_held(self, index: int, done: int, op: int) -> bool:
        opener = self.openers[index]
        if opener == op:
            return True
        if opener is not None and not done >> opener & 1:
            return False
        in_step_0 = opener is None and not done
        return in_step_0 or self.returned[index] or bool(self.readers[index] & ~done)

    def pairs(self, done: int, op: int) -> list[tuple[int, int]]:
        """In-place pairs of ``op`` whose input nobody reads or returns later."""
        found = []
        for source, target in dict.fromkeys((self._storage(s), t) for s, t in self.graph.ops[op].inplace):
            if source in self.block_of and target in self.block_of:
                index = self.block_of[source]
                if not self.returned[index] and not self.readers[index] & ~(done | 1 << op):
                    found.append((index, self.block_of[target]))
        return found

    def height(self, done: int, op: int) -> int:
        """The least arena for what is held at this one step."""
        return least_height(self.blocks, self.held(done, op), self.pairs(done, op))

    def least_height(self, done: int) -> int:
        """The least, over all ways to go on, of the largest height to come."""
        steps = [max(self.height(done, op), self.least_height(done | 1 << op)) for op in self.ready(done)]
        return min(steps, default=0)

    def low_order(self) -> tuple[int, ...]:
        done, order = 0, list[int]()
        while len(order) < len(self.graph.ops):
            after = {op: max(self.height(done, op), self.least_height(done | 1 << op)) for op in self.ready(done)}
            order.append(min(after, key=after.__getitem__))
            done |= 1 << order[-1]
        return tuple(order)

    def meetings(self, done: int, op: int) -> int:
        """A bit for each two blocks that meet at this step, and one more where they may not share."""
        pairs, count, bits = self.pairs(done, op), len(self.blocks), 0
        for one, other in combinations(sorted(self.held(done, op)), 2):
            shareable = (one, other) in pairs or (other, one) in pairs
            bits |= (1 if shareable else 3) << 2 * (one * count + other)
        return bits

    def pack(self, order: Sequence[int], below: int) -> int | None:
        """The least arena of ``order``, or None where it is not less than ``below``."""
        done, steps, pairs = 0, [], list[tuple[int, int]]()
        for op in order:
            steps.append(self.held(done, op))
            pairs += self.pairs(done, op)
            done |= 1 << op
        return least_packing(Packing(self.blocks, steps, pairs), below)

"""The space of executed sets (downsets of the DAG). Each set is one state, stored as bits of a Python integer.

Every op runs once. The bytes live after a set S of ops, the bytes that a next op v adds, and the in-place pairs that v
can use are therefore functions of S alone, not of the order within S. Two orders of the same S have the same possible
continuations, so states of equal sets can be merged.

Safe move. Let S be executed and v ready, with the step of v within the target and live(S + v) <= live(S). If some
completion of S stays within the target, so does one that starts with v. Proof: take such a completion
u1 ... uk v w1 ... and move v to its front. The step of v is within the target by assumption. For a set X between S and
S + u1 ... uk, live(X + v) - live(X) = kept outputs of v - inputs whose last unread reader is v. The first term is
constant: readers of v's outputs, through views too, depend on v, so none is in X. The second can only grow with X, so
live(X + v) <= live(X). The step of u_i holds live + outputs + workspace - shared. Outputs and workspace are constant,
and live did not grow. An input that dies in u_i without v executed still dies there with v executed, so the available
pairs did not shrink and shared did not fall. Hence no step of a u_i got larger, and the steps w1 ... see the same sets
as before. Returned tensors never die and never share, and dead outputs count in their own step only, so the argument
covers both. Only the cost of the first step depends on its position, since it also holds the arena inputs that
nobody reads. If v moves there, the assumption on its step covers it, and u1 no longer holds them.
"""

from __future__ import annotations

from dataclasses import dataclass

from tvm_memopt.graph import Graph
from tvm_memopt.solvers.order.live_state import MemoryTables, memory_tables, op_effect

Path = tuple["Path", int] | None  # executed ops, newest first; states share prefixes


@dataclass(slots=True)
class State:
    """An executed set. ``left`` has a bit for each op still to run; ``ready`` maps an op to (extra, delta)."""

    left: int
    live: int
    peak: int
    ready: dict[int, tuple[int, int]]
    path: Path
    steps: int

    def order(self) -> tuple[int, ...]:
        """The ops executed so far, in order."""
        ops: list[int] = []
        path = self.path
        while path is not None:
            path, op = path
            ops.append(op)
        return tuple(reversed(ops))


@dataclass(frozen=True)
class Space:
    """A graph as bit sets: ``before[op]`` has its predecessors, ``readers[tensor]`` the ops that read it."""

    graph: Graph
    tables: MemoryTables
    before: tuple[int, ...]
    readers: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of ops."""
        return len(self.before)


def downset_space(graph: Graph) -> Space:
    """The search space of ``graph``'s orders."""
    before = tuple(sum(1 << p for p in ops) for ops in graph.predecessors)
    readers = tuple(sum(1 << r for r in ops) for ops in graph.readers)
    return Space(graph, memory_tables(graph), before, readers)


def root_state(space: Space) -> State:
    """The state in which no op has run."""
    left = (1 << space.size) - 1
    ready = {op: _effect(space, op, left) for op, before in enumerate(space.before) if not before}
    return State(left, space.tables.start_live, 0, ready, None, 0)


def room_under(space: Space, state: State, target: int) -> int:
    """Most bytes that the next step may add to the live bytes."""
    return target - state.live - (0 if state.steps else space.tables.orphans)


def successor(space: Space, state: State, op: int) -> State:
    """The state after running the ready ``op``."""
    child = State(state.left, state.live, state.peak, dict(state.ready), state.path, state.steps)
    _run(space, child, op)
    return child


def make_safe_moves(space: Space, state: State, target: int) -> None:
    """Run all safe moves under ``target``, modifying ``state``, until none is left."""
    while True:
        room = room_under(space, state, target)
        safe = next((op for op, (extra, delta) in state.ready.items() if delta <= 0 and extra <= room), None)
        if safe is None:
            return
        _run(space, state, safe)


def _run(space: Space, state: State, op: int) -> None:
    extra, delta = state.ready.pop(op)
    left = state.left ^ (1 << op)
    state.peak = max(state.peak, state.live + extra + (0 if state.steps else space.tables.orphans))
    state.left, state.live = left, state.live + delta
    state.path, state.steps = (state.path, op), state.steps + 1
    for tensor in space.tables.frees[op]:
        unread = space.readers[tensor] & left
        if unread and not unread & (unread - 1):
            reader = unread.bit_length() - 1
            if reader in state.ready:
                state.ready[reader] = _effect(space, reader, left)
    for follower in space.graph.successors[op]:
        if not space.before[follower] & left:
            state.ready[follower] = _effect(space, follower, left)


def _effect(space: Space, op: int, left: int) -> tuple[int, int]:
    own, tables, readers = 1 << op, space.tables, space.readers
    dying = [t for t in tables.frees[op] if readers[t] & left == own]
    return op_effect(tables, op, dying)

"""The definition of liveness: which bytes are held at which step of a schedule.

A planned tensor gets one buffer for each run of its producer. The buffer is live from that step to the last step
that reads it, directly or through views, before the next run of the producer. Returned tensors stay live to the
last step. Arena inputs are live from step 0. A workspace is live only at its op's own step. A read sees the newest
instance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from tvm_memopt.errors import PlanError
from tvm_memopt.graph.model import Graph
from tvm_memopt.graph.sharing import Sharing


@dataclass(frozen=True, slots=True)
class Buffer:
    """One instance of a planned tensor or, if ``tensor`` is None, the workspace of the op at step ``first``.

    It is live from step ``first`` to step ``last`` inclusive.
    """

    tensor: int | None
    first: int
    last: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two buffers, by index, that may overlap where the input begins at least ``distance`` bytes above the output.

    ``distance``: a multiple of the graph's alignment. ``weight``: bytes saved, as best_sharing counts them.
    """

    source: int
    target: int
    distance: int
    weight: int


@dataclass(frozen=True)
class Lifetimes:
    """All buffers of a schedule of ``steps`` steps.

    ``inplace`` lists (input, output) pairs of indices into ``buffers`` that may share one address. The input of such
    a pair dies in the step that creates the output, and it is not returned. So it is for ``overlaps``, the pairs that
    may overlap at a distance; a pair whose distance allows one address stands in both.
    """

    buffers: tuple[Buffer, ...]
    inplace: tuple[tuple[int, int], ...]
    steps: int
    overlaps: tuple[Overlap, ...] = ()

    @property
    def shares(self) -> bool:
        """Whether any two buffers may overlap."""
        return bool(self.inplace or self.overlaps)

    def weights(self) -> dict[tuple[int, int], int]:
        """Bytes that each pair of buffers saves, as best_sharing counts them."""
        found = {(s, t): min(self.buffers[s].nbytes, self.buffers[t].nbytes) for s, t in self.inplace}
        for overlap in self.overlaps:
            key = overlap.source, overlap.target
            found[key] = max(found.get(key, 0), overlap.weight)
        return found

    def apart(self) -> Lifetimes:
        """The same buffers, none of which may overlap another that is live at the same step."""
        return Lifetimes(self.buffers, (), self.steps)


def lifetimes(graph: Graph, schedule: Sequence[int]) -> Lifetimes:
    """Compute the buffers of ``schedule``, sorted by first step. O(steps + edges).

    Raises PlanError if an op reads a planned tensor before its producer has run.
    """
    newest: dict[int, int] = {}
    tensors: list[int | None] = []
    first: list[int] = []
    last: list[int] = []
    nbytes: list[int] = []

    def open_buffer(tensor: int | None, step: int, size: int) -> int:
        tensors.append(tensor)
        first.append(step)
        last.append(step)
        nbytes.append(size)
        return len(tensors) - 1

    if schedule:
        for tensor_id, tensor in enumerate(graph.tensors):
            if tensor.kind != "activation" and graph.planned[tensor_id]:
                newest[tensor_id] = open_buffer(tensor_id, 0, tensor.nbytes)
    candidates: list[tuple[int, int, int, Sharing]] = []
    for step, op_id in enumerate(schedule):
        before = {tensor: _newest(graph, newest, tensor, step, op_id) for tensor in graph.reads[op_id]}
        for buffer in before.values():
            last[buffer] = step
        for tensor_id in graph.writes[op_id]:
            newest[tensor_id] = open_buffer(tensor_id, step, graph.tensors[tensor_id].nbytes)
        op = graph.ops[op_id]
        if op.workspace:
            open_buffer(None, step, op.workspace)
        candidates += [(before[p.source], newest[p.target], step, p) for p in graph.sharing[op_id]]
    returned = {newest[tensor_id] for tensor_id in graph.returned & newest.keys()}
    for buffer in returned:
        last[buffer] = len(schedule) - 1
    usable = [(a, b, pair) for a, b, step, pair in candidates if last[a] == step and a not in returned]
    return Lifetimes(
        tuple(map(Buffer, tensors, first, last, nbytes)),
        tuple((a, b) for a, b, pair in usable if pair.equal),
        len(schedule),
        tuple(Overlap(a, b, p.distance, p.weight) for a, b, p in usable if p.distance is not None),
    )


def _newest(graph: Graph, newest: dict[int, int], tensor: int, step: int, op_id: int) -> int:
    try:
        return newest[tensor]
    except KeyError:
        raise PlanError(
            f"graph {graph.name!r}: step {step}: op {op_id} ({graph.ops[op_id].name}) reads tensor {tensor} "
            f"({graph.tensors[tensor].name}) before its producer has run"
        ) from None


def live_profile(graph: Graph, schedule: Sequence[int]) -> list[int]:
    """Live bytes at each step of ``schedule``. Each op uses the in-place pairs that save the most bytes."""
    return profile_of(lifetimes(graph, schedule))


def profile_of(lives: Lifetimes) -> list[int]:
    """Live bytes at each step of ``lives``; see live_profile."""
    delta = [0] * (lives.steps + 1)
    for buffer in lives.buffers:
        delta[buffer.first] += buffer.nbytes
        delta[buffer.last + 1] -= buffer.nbytes
    held = list(accumulate(delta[:-1]))
    pairs_at: dict[int, list[tuple[int, int, int]]] = {}
    for (source, target), shared in lives.weights().items():
        pairs_at.setdefault(lives.buffers[target].first, []).append((source, target, shared))
    for step, pairs in pairs_at.items():
        held[step] -= best_sharing(pairs)
    return held


def peak_live(graph: Graph, schedule: Sequence[int]) -> int:
    """Peak memory of ``schedule``: the most live bytes at any step."""
    return max(live_profile(graph, schedule), default=0)


def best_sharing(pairs: Sequence[tuple[int, int, int]]) -> int:
    """Maximum total bytes over pairs (input, output, bytes) in which each input and each output is used once.

    This is a maximum-weight bipartite matching, built by augmenting paths of largest gain (Bellman-Ford).
    """
    if len(pairs) == 1:
        return pairs[0][2]
    shared = {(source, target): nbytes for source, target, nbytes in pairs}
    matched: dict[int, int] = {}
    total = 0
    while True:
        gain, via = _augmenting_gains(shared, matched)
        target = max(gain.keys() - matched.keys(), key=lambda t: (gain[t], t), default=None)
        if target is None or gain[target] <= 0:
            return total
        total += gain[target]
        current: int | None = target
        while current is not None:
            source, before = via[current]
            matched[current], current = source, before


def _augmenting_gains(
    shared: dict[tuple[int, int], int], matched: dict[int, int]
) -> tuple[dict[int, int], dict[int, tuple[int, int | None]]]:
    """For each output: the largest gain of a path to it from a free input, and its predecessor (input, output)."""
    output_of = {source: target for target, source in matched.items()}
    gain: dict[int, int] = {}
    via: dict[int, tuple[int, int | None]] = {}
    changed = True
    while changed:
        changed = False
        for (source, target), nbytes in shared.items():
            before = output_of.get(source)
            if before == target or (before is not None and before not in gain):
                continue
            reached = nbytes if before is None else gain[before] - shared[source, before] + nbytes
            if reached > gain.get(target, -1):
                gain[target], via[target], changed = reached, (source, before), True
    return gain, via


def given_order(graph: Graph) -> tuple[int, ...]:
    """The order of the source program, with every op once."""
    return tuple(range(len(graph.ops)))

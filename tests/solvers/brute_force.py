"""Oracles that share no code with the solvers or with graph.liveness: every order, every placement."""

from __future__ import annotations

from functools import cache
from itertools import combinations

from tvm_memopt.graph import Graph, Lifetimes


def least_peak(graph: Graph) -> int:
    """The smallest peak over all topological orders, each step weighed from the format's own words."""
    needs = [_needs(graph, op) for op in range(len(graph.ops))]

    @cache
    def rest(done: frozenset[int]) -> int:
        """The least peak of the steps after ``done``, whatever its order was."""
        open_ops = [op for op in range(len(graph.ops)) if op not in done and needs[op] <= done]
        return min((max(held_bytes(graph, list(done), op), rest(done | {op})) for op in open_ops), default=0)

    return rest(frozenset())


def held_bytes(graph: Graph, before: list[int], op: int) -> int:
    """Bytes held while ``op`` runs after ``before`` and ahead of all other ops."""
    after = set(range(len(graph.ops))) - {*before, op}
    held = {t for t in range(len(graph.tensors)) if _is_held(graph, t, before, op, after)}
    pairs = {
        (_storage(graph, source), target)
        for source, target in graph.ops[op].inplace
        if _storage(graph, source) in held
        and target in held
        and not any(_storage(graph, t) == _storage(graph, source) for t in graph.outputs)
        and not _read_by(graph, _storage(graph, source), after)
    }
    total = sum(graph.tensors[t].nbytes for t in held) + graph.ops[op].workspace
    return total - max(_saved(graph, chosen) for k in range(len(pairs) + 1) for chosen in combinations(pairs, k))


def least_arena(lives: Lifetimes, alignment: int) -> int:
    """The smallest arena over all placements: some best one lies as low as it can, so each buffer
    starts at 0, on top of another, at the offset of its in-place partner, or at a distance from it."""
    items = [i for i, b in enumerate(lives.buffers) if b.nbytes]
    best = [sum(-(-b.nbytes // alignment) * alignment for b in lives.buffers) + 1]

    def extend(placed: dict[int, int]) -> None:
        arena = max((x + lives.buffers[i].nbytes for i, x in placed.items()), default=0)
        if arena >= best[0]:
            return
        if len(placed) == len(items):
            best[0] = arena
            return
        tops = {-(-(x + lives.buffers[i].nbytes) // alignment) * alignment for i, x in placed.items()}
        for item in items:
            if item not in placed:
                apart = [(o.source, o.target, o.distance) for o in lives.overlaps]
                near = {placed[t] + d for s, t, d in apart if s == item and t in placed}
                for offset in sorted({0, *tops, *placed.values(), *(x for x in near if x >= 0)}):
                    if placement_is_valid(lives, {**placed, item: offset}):
                        extend({**placed, item: offset})

    extend({})
    return best[0]


def placement_is_valid(lives: Lifetimes, offsets: dict[int, int]) -> bool:
    for i, j in combinations(offsets, 2):
        a, b = lives.buffers[i], lives.buffers[j]
        meet = a.first <= b.last and b.first <= a.last
        overlap = offsets[i] < offsets[j] + b.nbytes and offsets[j] < offsets[i] + a.nbytes
        shared = offsets[i] == offsets[j] and ((i, j) in lives.inplace or (j, i) in lives.inplace)
        shared |= any(
            {o.source, o.target} == {i, j} and offsets[o.source] - offsets[o.target] >= o.distance
            for o in lives.overlaps
        )
        if meet and overlap and a.nbytes and b.nbytes and not shared:
            return False
    return True


def _storage(graph: Graph, tensor: int) -> int:
    parent = graph.tensors[tensor].alias_of
    return tensor if parent is None else _storage(graph, parent)


def _needs(graph: Graph, op: int) -> set[int]:
    """Ops that produce what ``op`` reads, or what those tensors or its outputs are views of."""
    wanted: set[int] = set()
    for tensor in (*graph.ops[op].inputs, *graph.ops[op].outputs):
        current: int | None = tensor
        while current is not None:
            wanted.add(current)
            current = graph.tensors[current].alias_of
    return {other for other, x in enumerate(graph.ops) if other != op and wanted & set(x.outputs)}


def _read_by(graph: Graph, tensor: int, ops: set[int]) -> bool:
    return any(_storage(graph, t) == tensor for op in ops for t in graph.ops[op].inputs)


def _is_held(graph: Graph, tensor: int, before: list[int], op: int, after: set[int]) -> bool:
    x = graph.tensors[tensor]
    if not x.arena or x.alias_of is not None:
        return False
    if tensor in graph.ops[op].outputs:
        return True
    born = not before if x.kind != "activation" else False
    exists = x.kind != "activation" or any(tensor in graph.ops[b].outputs for b in before)
    returned = any(_storage(graph, t) == tensor for t in graph.outputs)
    return exists and (born or returned or _read_by(graph, tensor, {op, *after}))


def _saved(graph: Graph, chosen: tuple[tuple[int, int], ...]) -> int:
    sources, targets = [s for s, _ in chosen], [t for _, t in chosen]
    if len(set(sources)) < len(sources) or len(set(targets)) < len(targets):
        return 0
    return sum(min(graph.tensors[s].nbytes, graph.tensors[t].nbytes) for s, t in chosen)

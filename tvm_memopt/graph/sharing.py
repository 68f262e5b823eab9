"""The bytes that a dying input and an output of one op may have in common.

A pair either allows one common address, or every place of the input that lies at least some distance above the output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tvm_memopt.graph.model import Graph


@dataclass(frozen=True, slots=True)
class Sharing:
    """How a planned input ``source`` and a planned output ``target`` of an op may overlap.

    ``equal``: whether at one address. ``distance``: they may overlap wherever the input begins at least this many bytes
    above the output; a multiple of the graph's alignment, or None. ``nbytes``: most bytes in common. ``weight``: of the
    pair in a matching of inputs and outputs (best_sharing), at least what the output has in common with all inputs.
    """

    source: int
    target: int
    nbytes: int
    equal: bool = True
    distance: int | None = None
    weight: int = 0


def common_nbytes(source: int, target: int, distance: int) -> int:
    """Most bytes in common of an input and an output of these sizes, over all places that keep ``distance``."""
    return max(0, min(source, target, target - distance))


def sharing_of(graph: Graph, op_id: int) -> tuple[Sharing, ...]:
    """The pairs of planned tensors that may overlap in the op, each once, with views resolved."""
    equal: dict[tuple[int, int], bool] = {}
    distances: dict[tuple[int, int], int] = {}
    for source, target, *distance in graph.ops[op_id].inplace:
        key = graph.root[source], target
        if not (graph.planned[key[0]] and graph.planned[target]):
            continue
        equal[key] = equal.get(key, False) or not distance
        if distance:
            aligned = -(-distance[0] // graph.alignment) * graph.alignment
            distances[key] = min(distances.get(key, aligned), aligned)
    pairs = [_sharing(graph, *key, also, distances.get(key)) for key, also in equal.items()]
    return tuple(_weighted(graph, pairs)) if distances else tuple(pairs)


def _sharing(graph: Graph, source: int, target: int, equal: bool, distance: int | None) -> Sharing:
    sizes = graph.tensors[source].nbytes, graph.tensors[target].nbytes
    if distance is None:
        return Sharing(source, target, min(sizes), weight=min(sizes))
    nbytes = common_nbytes(*sizes, distance)
    if distance <= 0:
        equal, nbytes = True, min(sizes)  # one address is among the places that the distance allows
    return Sharing(source, target, min(sizes) if equal else nbytes, equal, distance, nbytes)


def _weighted(graph: Graph, pairs: Sequence[Sharing]) -> list[Sharing]:
    """Set weights so that a matching never counts fewer bytes than can be saved.

    Several inputs, none of which overlap, may overlap one output in different places. A matching counts one of them.
    """
    outputs: dict[int, list[Sharing]] = {}
    for pair in pairs:
        outputs.setdefault(pair.target, []).append(pair)
    covered = {target: _covered(graph, target, found) for target, found in outputs.items()}
    lends = [pair.source for pair in pairs]
    several = any(pair.distance is not None and lends.count(pair.source) > 1 for pair in pairs)
    total = sum(covered.values())
    return [
        pair if pair.distance is None else replace(pair, weight=total if several else covered[pair.target])
        for pair in pairs
    ]


def _covered(graph: Graph, target: int, pairs: Sequence[Sharing]) -> int:
    """At least the bytes of an output that all its inputs together can cover."""
    if len(pairs) == 1:
        return pairs[0].nbytes
    bottom = min(pair.distance if pair.distance is not None and not pair.equal else 0 for pair in pairs)
    align = graph.alignment
    summed = sum(-(-pair.nbytes // align) * align for pair in pairs)
    return min(graph.tensors[target].nbytes - max(0, bottom), summed)

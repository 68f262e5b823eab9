"""Layered computation graphs after Gagrani et al., "Neural Topological Ordering for Computation
Graphs" (NeurIPS 2022), appendix A. Details are fitted to the four graphs published with MOCCASIN."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from itertools import pairwise

from tvm_memopt.errors import GraphError
from tvm_memopt.graph.model import Graph, Op, Tensor

_SIZE_WEIGHTS = (0.3, 0.3, 0.3, 0.1)
_SIZE_MEANS = (0.5, 1.0, 3.0, 5.0)
_SIZE_DEVIATIONS = (0.5, 1.0, 1.0, 1.0)
_SIZE_GRID = 10  # the published sizes are multiples of 10
_LARGEST_COST = 1000
_SKIP_DRIFT = 0.2  # a skip edge ends at most this much further along its layer than it starts


def layered_graph(
    n: int,
    *,
    width: float | None = None,
    variability: float = 0.75,
    density: float = 0.2,
    skip: float = 0.14,
    seed: int = 0,
) -> Graph:
    """Generate a random layered graph of ``n`` ops with one arena tensor each and no returned tensors.

    The ops are listed layer by layer, from a single source to a single sink.

    ``width``: W, which sets the nominal number of layers ⌈√(n(1/W − 1))⌉; drawn from U(0.25, 0.5) if None.
    ``variability``: layer widths vary by a factor of 1 ± ``variability``.
    ``density``: from 0 (a sparse matching of adjacent layers) to 1 (adjacent layers fully connected).
    ``skip``: target share of edges that skip at least one layer.
    ``seed``: seeds the one ``random.Random`` that draws everything; the same arguments give the same graph.

    O(edges). Raises GraphError if a parameter is out of range.
    """
    _check_parameters(n, width, variability, density, skip)
    rng = random.Random(seed)
    if width is None:
        width = rng.uniform(0.25, 0.5)
    layers = _draw_layers(n, width, variability, rng)
    inputs: list[list[int]] = [[] for _ in range(n)]
    adjacent = 0
    for above, below in pairwise(layers):
        adjacent += _connect(above, below, density, inputs, rng)
    for source, target in _skip_edges(layers, math.ceil(adjacent * skip / (1 - skip)), rng):
        inputs[target].append(source)
    names = [f"layer{depth}_{index}" for depth, layer in enumerate(layers) for index in range(len(layer))]
    tensors = tuple(Tensor(name, _draw_size(rng)) for name in names)
    costs = [0, *(rng.randint(0, _LARGEST_COST) for _ in range(n - 2)), 0][:n]
    ops = (
        Op(name, tuple(sorted(before)), (op_id,), float(cost))
        for op_id, (name, before, cost) in enumerate(zip(names, inputs, costs, strict=True))
    )
    return Graph(f"layered-n{n}-w{width:.2f}-seed{seed}", tensors, tuple(ops))


def _check_parameters(n: int, width: float | None, variability: float, density: float, skip: float) -> None:
    for name, value, valid, expected in (
        ("n", n, n >= 1, "at least 1"),
        ("width", width, width is None or 0 < width < 1, "between 0 and 1, both excluded"),
        ("variability", variability, 0 <= variability <= 1, "from 0 to 1"),
        ("density", density, 0 <= density <= 1, "from 0 to 1"),
        ("skip", skip, 0 <= skip < 1, "from 0 to below 1"),
    ):
        if not valid:
            raise GraphError(f"layered_graph: {name} is {value}, expected {expected}")


def _draw_layers(n: int, width: float, variability: float, rng: random.Random) -> list[Sequence[int]]:
    """Op ids by layer: one source, layers of random width, then one sink."""
    ids = list(range(n))
    nominal = n / math.ceil(math.sqrt(n * (1 / width - 1)))
    least = max(1, math.ceil(nominal * (1 - variability)))
    most = max(least, math.floor(nominal * (1 + variability)))
    layers: list[Sequence[int]] = [ids[:1]]
    start = 1
    while start < n - 1:
        end = min(n - 1, start + rng.randint(least, most))
        layers.append(ids[start:end])
        start = end
    return [*layers, ids[start:]] if start < n else layers


def _connect(
    above: Sequence[int], below: Sequence[int], density: float, inputs: list[list[int]], rng: random.Random
) -> int:
    """Connect two adjacent layers and return the number of edges, round(ρ·a·b + (1 − ρ)·max(a, b)).

    Each node of the wider layer is connected to a contiguous block of the narrower one, centred at the same
    relative position. Block lengths differ by at most one.
    """
    below_is_wider = len(below) >= len(above)
    wide, narrow = (below, above) if below_is_wider else (above, below)
    edges = round(density * len(wide) * len(narrow) + (1 - density) * len(wide))
    length, longer = divmod(edges, len(wide))
    with_one_more = set(rng.sample(range(len(wide)), longer))
    for position, node in enumerate(wide):
        count = length + (position in with_one_more)
        centre = round(position * (len(narrow) - 1) / (len(wide) - 1)) if len(wide) > 1 else 0
        start = min(max(centre - (count - 1) // 2, 0), len(narrow) - count)
        block = narrow[start : start + count]
        if below_is_wider:
            inputs[node].extend(block)
        else:
            for target in block:
                inputs[target].append(node)
    return edges


def _skip_edges(layers: Sequence[Sequence[int]], attempts: int, rng: random.Random) -> Iterator[tuple[int, int]]:
    """Distinct edges that skip at least one layer. None starts at the source or ends at the sink of the graph."""
    inner = layers[1:-1]
    if len(inner) < 3:
        return
    seen: set[tuple[int, int]] = set()
    for _ in range(attempts):
        depth = rng.randrange(len(inner) - 2)
        above, below = inner[depth], inner[rng.randrange(depth + 2, len(inner))]
        where = rng.random()
        landing = min(where + _SKIP_DRIFT * rng.random(), math.nextafter(1.0, 0.0))
        edge = above[int(where * len(above))], below[int(landing * len(below))]
        if edge not in seen:
            seen.add(edge)
            yield edge


def _draw_size(rng: random.Random) -> int:
    """A size in bytes from the truncated Gaussian mixture, in thousands, on the published grid; never 0."""
    (component,) = rng.choices(range(len(_SIZE_WEIGHTS)), _SIZE_WEIGHTS)
    value = -1.0
    while value < 0:
        value = rng.gauss(_SIZE_MEANS[component], _SIZE_DEVIATIONS[component])
    return _SIZE_GRID * max(1, round(1000 * value / _SIZE_GRID))

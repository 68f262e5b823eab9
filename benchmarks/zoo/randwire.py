"""RandWire: stages wired by a random small-world graph (Xie et al., 2019, section 3).

A Watts-Strogatz graph becomes a DAG by directing each edge from the lower to the higher node. A node is a
sigmoid-weighted sum of its predecessors, ReLU, a separable 3x3 convolution and BatchNorm. Nodes without a predecessor
read the stage's input with stride 2. A stage returns the mean of its sinks.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def watts_strogatz(nodes: int, neighbours: int, probability: float, seed: int) -> tuple[tuple[int, int], ...]:
    """Edges (lower, higher) of a ring of ``nodes`` with ``neighbours`` each (even), rewired with ``probability``.

    Watts and Strogatz (1998): distance by distance, each ring edge keeps its first end and, with that
    probability, takes a new second end drawn from those that make neither a loop nor a double edge.
    """
    rng = random.Random(seed)
    linked: list[set[int]] = [set() for _ in range(nodes)]
    ring = [(i, (i + distance) % nodes) for distance in range(1, neighbours // 2 + 1) for i in range(nodes)]
    for a, b in ring:
        linked[a].add(b)
        linked[b].add(a)
    for a, b in ring:
        free = [node for node in range(nodes) if node != a and node not in linked[a]]
        if rng.random() < probability and free:
            new = rng.choice(free)
            linked[a] ^= {b, new}
            linked[b].discard(a)
            linked[new].add(a)
    return tuple((a, b) for a in range(nodes) for b in sorted(linked[a]) if a < b)


def predecessors(nodes: int, edges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, ...], ...]:
    """Per node the lower ends of its edges, ascending."""
    return tuple(tuple(sorted(a for a, b in edges if b == node)) for node in range(nodes))


def sinks(nodes: int, edges: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    """The nodes that no edge leaves."""
    return tuple(node for node in range(nodes) if all(a != node for a, _ in edges))


def build(
    nodes: int = 16,
    channels: tuple[int, ...] = (32, 64, 128),
    *,
    neighbours: int = 4,
    probability: float = 0.75,
    seed: int = 0,
) -> nn.Module:
    """The network: stem, one random stage for each of ``channels`` (stage s seeded with seed + s), ten classes."""
    import torch
    from torch import nn

    class Node(nn.Module):
        def __init__(self, fan_in: int, before: int, after: int, stride: int) -> None:
            super().__init__()
            self.weights = nn.Parameter(torch.randn(fan_in)) if fan_in > 1 else None
            self.depthwise = nn.Conv2d(before, before, 3, stride, padding=1, groups=before, bias=False)
            self.pointwise = nn.Conv2d(before, after, 1, bias=False)
            self.norm = nn.BatchNorm2d(after)

        def forward(self, *sources: torch.Tensor) -> torch.Tensor:
            total = sources[0]
            if self.weights is not None:
                gates = torch.sigmoid(self.weights)
                total = total * gates[0]
                for index, source in enumerate(sources[1:], start=1):
                    total = total + source * gates[index]
            return self.norm(self.pointwise(self.depthwise(torch.relu(total))))

    class Stage(nn.Module):
        def __init__(self, before: int, after: int, stage_seed: int) -> None:
            super().__init__()
            edges = watts_strogatz(nodes, neighbours, probability, stage_seed)
            self.predecessors = predecessors(nodes, edges)
            self.sinks = sinks(nodes, edges)
            self.nodes = nn.ModuleList(
                Node(len(sources), after, after, 1) if sources else Node(1, before, after, 2)
                for sources in self.predecessors
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            values: list[torch.Tensor] = []
            for node, sources in zip(self.nodes, self.predecessors, strict=True):
                values.append(node(*[values[i] for i in sources]) if sources else node(x))
            total = values[self.sinks[0]]
            for index in self.sinks[1:]:
                total = total + values[index]
            return total / len(self.sinks)

    stem = 16
    widths = zip((stem, *channels), channels, strict=False)
    stages = [Stage(before, after, seed + index) for index, (before, after) in enumerate(widths)]
    return nn.Sequential(
        nn.Conv2d(3, stem, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(stem),
        *stages,
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels[-1], 10),
    )

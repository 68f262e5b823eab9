"""An irregular network of channel concatenations, as found by neural architecture search for edge devices.

Each cell is a random DAG. A node concatenates one to three earlier nodes, and node widths differ by up to three times.
The peak memory depends on the operator order.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

CELL_INPUT = -1


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell's wiring: per node its predecessors (CELL_INPUT for the cell's input) and its channels."""

    channels_in: int
    predecessors: tuple[tuple[int, ...], ...]
    channels: tuple[int, ...]

    @property
    def outputs(self) -> tuple[int, ...]:
        """The nodes that no other node reads; the cell returns their concatenation."""
        read = {source for sources in self.predecessors for source in sources}
        return tuple(node for node in range(len(self.channels)) if node not in read)

    @property
    def channels_out(self) -> int:
        """Channels of the concatenated outputs."""
        return sum(self.channels[node] for node in self.outputs)

    def joined(self, node: int) -> int:
        """Channels of a node's concatenated predecessors."""
        return sum(self.channels_in if i == CELL_INPUT else self.channels[i] for i in self.predecessors[node])


def random_cell(seed: int, nodes: int, width: int, channels_in: int) -> Cell:
    """A seeded cell: fan-in 1 to 3 among the earlier nodes, channels 1 to 3 times ``width``."""
    rng = random.Random(seed)
    predecessors, channels = [], []
    for node in range(nodes):
        fan_in = min(node + 1, rng.choice([1, 1, 2, 2, 3]))
        predecessors.append(tuple(sorted(rng.sample(range(CELL_INPUT, node), fan_in))))
        channels.append(width * rng.choice([1, 1, 2, 3]))
    return Cell(channels_in, tuple(predecessors), tuple(channels))


def build(seed: int = 0, cells: int = 3, nodes: int = 14, width: int = 8) -> nn.Module:
    """The whole network: stem, ``cells`` cells each followed by a 1x1 convolution and a pooling, ten classes."""
    import torch
    from torch import nn

    class CellModule(nn.Module):
        def __init__(self, cell: Cell) -> None:
            super().__init__()
            self.cell = cell
            self.nodes = nn.ModuleList(_separable(cell.joined(i), n) for i, n in enumerate(cell.channels))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            values = {CELL_INPUT: x}
            for node, sources in enumerate(self.cell.predecessors):
                values[node] = self.nodes[node](_join([values[i] for i in sources]))
            return _join([values[i] for i in self.cell.outputs])

    class DagNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, stride=2, padding=1)]
            channels = 16
            for index in range(cells):
                cell = random_cell(seed + index, nodes, width, channels)
                channels = 16 * 2**index
                layers += [CellModule(cell), nn.Conv2d(cell.channels_out, channels, 1), nn.MaxPool2d(2)]
            self.body = nn.Sequential(*layers)
            self.classifier = nn.Linear(channels, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.classifier(self.body(x).mean((2, 3)))

    def _join(parts: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat(parts, 1) if len(parts) > 1 else parts[0]

    return DagNet()


def _separable(channels_in: int, channels_out: int) -> nn.Module:
    from torch import nn

    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels_in, channels_in, 3, padding=1, groups=channels_in, bias=False),
        nn.Conv2d(channels_in, channels_out, 1, bias=False),
        nn.BatchNorm2d(channels_out),
    )

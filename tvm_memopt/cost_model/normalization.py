"""Features standardised over the training programs, and graphs as tensors."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

import numpy as np

from tvm_memopt.cost_model.feature_names import BUFFER, EDGE_COLUMNS, LOOP, NODE_COLUMNS, STATEMENT
from tvm_memopt.cost_model.features import EdgeType, Graphs, rows_of_graphs

if TYPE_CHECKING:
    import torch

LIMIT = 6.0
"""Standard deviations at which a feature is cut off: what no training program showed must not explode."""

_REPETITIONS = {
    "statement": [STATEMENT.index("iterations")],
    "loop": [LOOP.index("outer_iterations"), LOOP.index("extent")],
    "buffer": [BUFFER.index("realisations"), BUFFER.index("nbytes")],
}


def key_name(key: str | EdgeType) -> str:
    """A node or edge type as one word."""
    return key if isinstance(key, str) else "__".join(key)


@dataclass(frozen=True)
class Normalization:
    """Mean and deviation of each column of compressed values, float32, by the key_name of node and edge types."""

    means: dict[str, np.ndarray]
    deviations: dict[str, np.ndarray]

    def apply(self, key: str | EdgeType, values: np.ndarray) -> np.ndarray:
        """Standardised columns of one type, cut off at LIMIT deviations."""
        name = key_name(key)
        scaled = (values - self.means[name]) / self.deviations[name]
        return np.asarray(np.clip(scaled, -LIMIT, LIMIT, out=scaled))


def fit_normalization(graphs: Graphs) -> Normalization:
    """From compressed training graphs; columns that never change become 0."""
    means, deviations = {}, {}
    tables = {**{key_name(k): v for k, v in graphs.nodes.items()}}
    tables |= {key_name(k): v for k, v in graphs.edge_values.items()}
    for name, values in tables.items():
        full = len(values) > 0
        mean = values.mean(axis=0, dtype=np.float64) if full else np.zeros(values.shape[1])
        deviation = values.std(axis=0, dtype=np.float64) if full else np.ones(values.shape[1])
        means[name] = mean.astype(np.float32)
        deviations[name] = np.where(deviation > 1e-4, deviation, 1.0).astype(np.float32)
    return Normalization(means, deviations)


@dataclass(frozen=True)
class Batch:
    """Graphs as one block-diagonal graph of tensors.

    ``nodes[type]``: float32 [count, columns], standardised; ``repetitions[type]``: float32 [count], natural logarithm
    of how often the node is executed (for a buffer: of the bytes that are filled); ``graph_of[type]``: int64 [count];
    ``edges``: int64 [2, count]; ``edge_values``: float32 [count, columns]; ``count``: graphs.
    """

    nodes: dict[str, torch.Tensor]
    repetitions: dict[str, torch.Tensor]
    graph_of: dict[str, torch.Tensor]
    edges: dict[EdgeType, torch.Tensor]
    edge_values: dict[EdgeType, torch.Tensor]
    count: int


@dataclass(frozen=True)
class Prepared:
    """Graphs with standardised values, and the ``repetitions`` of each node: what batches are cut from."""

    graphs: Graphs
    repetitions: dict[str, np.ndarray]

    def select(self, wanted: np.ndarray) -> Prepared:
        """The graphs of those numbers, in that order."""
        rows = {name: rows_of_graphs(starts, wanted) for name, starts in self.graphs.node_starts.items()}
        repetitions = {name: values[rows[name]] for name, values in self.repetitions.items()}
        return Prepared(self.graphs.select(wanted), repetitions)

    def batch(self, wanted: np.ndarray | None = None, device: str = "cpu") -> Batch:
        """The graphs of those numbers; all of them for None."""
        import torch

        if wanted is not None:
            return self.select(wanted).batch(device=device)
        graphs, repetitions = self.graphs, self.repetitions

        def tensor(values: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(values)).to(device)

        return Batch(
            {name: tensor(values) for name, values in graphs.nodes.items()},
            {name: tensor(values) for name, values in repetitions.items()},
            {name: tensor(graphs.graph_of(name)) for name in NODE_COLUMNS},
            {key: tensor(graphs.edges[key].astype(np.int64)) for key in EDGE_COLUMNS},
            {key: tensor(graphs.edge_values[key]) for key in EDGE_COLUMNS},
            len(graphs),
        )


def prepare(graphs: Graphs, normalization: Normalization) -> Prepared:
    """Compressed graphs made fit for the network."""
    repetitions = {
        name: (graphs.nodes[name][:, columns].sum(axis=1) * log(2.0)).astype(np.float32)
        for name, columns in _REPETITIONS.items()
    }
    nodes = {name: normalization.apply(name, values) for name, values in graphs.nodes.items()}
    values = {key: normalization.apply(key, rows) for key, rows in graphs.edge_values.items()}
    return Prepared(Graphs(nodes, graphs.node_starts, graphs.edges, values, graphs.edge_starts), repetitions)

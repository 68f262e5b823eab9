"""Standardisation of features over the training programs, and graphs as tensors.

A change to the feature transformation invalidates old checkpoints and requires a new checkpoint.FORMAT.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, log2
from typing import TYPE_CHECKING

import numpy as np

from tvm_memopt.cost_model.features.columns import ARITHMETIC, CAPACITIES, EDGE_COLUMNS, LINE_NBYTES, NODE_COLUMNS
from tvm_memopt.cost_model.features.extract import EdgeType, Graphs, rows_of_graphs

if TYPE_CHECKING:
    import torch

LIMIT = 6.0
"""Features are clipped at this many standard deviations, so that values unseen in training stay bounded."""

TERMS = {
    "statement": (
        "points", "vectors", "innermost loops", "operations", "loads", *(f"lines_{c}" for c in CAPACITIES), "one",
    ),
    "loop": ("iterations", "starts"),
    "buffer": ("bytes filled", "realisations"),
}  # fmt: skip
"""Counts that a node's time may grow with. The network predicts a price for each."""

EDGE_TERMS: dict[EdgeType, tuple[str, ...]] = {
    ("buffer", "is_read_by", "statement"): ("nbytes", "unique_lines"),
    ("statement", "writes", "buffer"): ("nbytes", "unique_lines"),
    ("statement", "feeds", "statement"): ("nbytes",),
}
"""The same for edges, as columns: bytes and cache lines moved along them."""

_RATIOS: dict[str | EdgeType, dict[str, str]] = {
    "statement": {
        **{f"traffic_{capacity}": "iterations" for capacity in CAPACITIES},
        **{f"fitting_iterations_{capacity}": "iterations" for capacity in CAPACITIES},
    },
    ("buffer", "is_read_by", "statement"): {"nbytes": "unique_nbytes", "unique_lines": "unique_nbytes"},
    ("statement", "writes", "buffer"): {"nbytes": "unique_nbytes", "unique_lines": "unique_nbytes"},
    ("statement", "feeds", "statement"): {"consumed_nbytes": "realisation_nbytes", "read_nbytes": "nbytes"},
}
"""Columns replaced by their ratio to another column: bytes fetched per iteration, reuse, use of cache lines."""


def key_name(key: str | EdgeType) -> str:
    """The name of a node or edge type as one word."""
    return key if isinstance(key, str) else "__".join(key)


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation of each column of compressed values, float32, by key_name of node and edge types."""

    means: dict[str, np.ndarray]
    deviations: dict[str, np.ndarray]

    def apply(self, key: str | EdgeType, values: np.ndarray) -> np.ndarray:
        """Standardise the columns of one type and clip them at LIMIT standard deviations."""
        name = key_name(key)
        scaled = (values - self.means[name]) / self.deviations[name]
        return np.asarray(np.clip(scaled, -LIMIT, LIMIT, out=scaled))


def fit_normalization(graphs: Graphs) -> Normalization:
    """Fit a normalisation to compressed training graphs. Constant columns become 0."""
    means, deviations = {}, {}
    graphs = with_ratios(graphs)
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
    """Several graphs joined into one disconnected graph, as tensors.

    ``nodes[type]``: float32 [nodes, columns], standardised. ``terms[type]``: float32 [nodes, TERMS], natural
    logarithms of the counts in TERMS. ``graph_of[type]``: int64 [nodes], the graph of each node. ``edges[type]``: int64
    [2, edges]. ``edge_values[type]``: float32 [edges, columns]. ``edge_terms``: as ``terms``, for EDGE_TERMS.
    ``count``: the number of graphs.
    """

    nodes: dict[str, torch.Tensor]
    terms: dict[str, torch.Tensor]
    graph_of: dict[str, torch.Tensor]
    edges: dict[EdgeType, torch.Tensor]
    edge_values: dict[EdgeType, torch.Tensor]
    edge_terms: dict[EdgeType, torch.Tensor]
    count: int


@dataclass(frozen=True)
class Prepared:
    """Graphs with standardised values and the ``terms`` of each node, from which batches are taken."""

    graphs: Graphs
    terms: dict[str, np.ndarray]
    edge_terms: dict[EdgeType, np.ndarray]

    def select(self, wanted: np.ndarray) -> Prepared:
        """The graphs with these indices, in this order."""
        rows = {name: rows_of_graphs(starts, wanted) for name, starts in self.graphs.node_starts.items()}
        terms = {name: values[rows[name]] for name, values in self.terms.items()}
        starts = self.graphs.edge_starts
        edge_terms = {key: values[rows_of_graphs(starts[key], wanted)] for key, values in self.edge_terms.items()}
        return Prepared(self.graphs.select(wanted), terms, edge_terms)

    def batch(self, wanted: np.ndarray | None = None, device: str = "cpu") -> Batch:
        """A batch of the graphs with these indices, or of all graphs for None."""
        import torch

        if wanted is not None:
            return self.select(wanted).batch(device=device)
        graphs, terms = self.graphs, self.terms

        def tensor(values: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(values)).to(device)

        return Batch(
            {name: tensor(values) for name, values in graphs.nodes.items()},
            {name: tensor(values) for name, values in terms.items()},
            {name: tensor(graphs.graph_of(name)) for name in NODE_COLUMNS},
            {key: tensor(graphs.edges[key].astype(np.int64)) for key in EDGE_COLUMNS},
            {key: tensor(graphs.edge_values[key]) for key in EDGE_COLUMNS},
            {key: tensor(values) for key, values in self.edge_terms.items()},
            len(graphs),
        )


def _terms(name: str, graphs: Graphs) -> list[np.ndarray]:
    """Binary logarithms of the counts in TERMS. A count of 0 is treated as 1."""
    column = dict(zip(NODE_COLUMNS[name], graphs.nodes[name].T, strict=True))
    if name == "loop":
        return [column["outer_iterations"] + column["extent"], column["outer_iterations"]]
    if name == "buffer":
        return [column["realisations"] + column["nbytes"], column["realisations"]]

    def plain(values: np.ndarray) -> np.ndarray:  # log2(1 + x) as log2(x)
        return np.asarray(np.log2(np.maximum(np.exp2(values) - 1.0, 1.0)))

    points, vector = column["iterations"], plain(column["vector_extent"])
    operations = sum(np.exp2(column[kind]) - 1.0 for kind in ARITHMETIC if kind != "load")
    lines = [np.maximum(column[f"traffic_{capacity}"] - log2(LINE_NBYTES), 0.0) for capacity in CAPACITIES]
    return [
        points, points - vector, points - plain(column["innermost_extent"]),
        points - vector + np.log2(np.maximum(operations, 1.0)), points - vector + plain(column["load"]),
        *lines, np.zeros_like(points),
    ]  # fmt: skip


def with_ratios(graphs: Graphs) -> Graphs:
    """Replace the columns in _RATIOS of compressed graphs by ratios, which are differences of logarithms."""
    nodes, values = dict(graphs.nodes), dict(graphs.edge_values)
    for key, ratios in _RATIOS.items():
        table = (graphs.nodes[key] if isinstance(key, str) else graphs.edge_values[key]).copy()
        names = NODE_COLUMNS[key] if isinstance(key, str) else EDGE_COLUMNS[key]
        for column, whole in ratios.items():
            table[:, names.index(column)] -= table[:, names.index(whole)]
        if isinstance(key, str):
            nodes[key] = table
        else:
            values[key] = table
    return Graphs(nodes, graphs.node_starts, graphs.edges, values, graphs.edge_starts)


def prepare(graphs: Graphs, normalization: Normalization) -> Prepared:
    """Convert compressed graphs to the network's input."""
    terms = {name: np.float32(log(2.0)) * np.stack(_terms(name, graphs), axis=1) for name in TERMS}
    edge_terms = {
        key: np.float32(log(2.0)) * graphs.edge_values[key][:, [EDGE_COLUMNS[key].index(name) for name in names]]
        for key, names in EDGE_TERMS.items()
    }
    graphs = with_ratios(graphs)
    nodes = {name: normalization.apply(name, values) for name, values in graphs.nodes.items()}
    values = {key: normalization.apply(key, rows) for key, rows in graphs.edge_values.items()}
    return Prepared(Graphs(nodes, graphs.node_starts, graphs.edges, values, graphs.edge_starts), terms, edge_terms)

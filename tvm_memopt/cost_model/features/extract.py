"""Scheduled modules as heterogeneous graphs: numpy rows of stores, loops and buffers, and typed edges between them.

The scheduled module is read without lowering it. The effects of lowering are accounted for: buffers shrink to the
size of one realisation, and initialisations are separate stores. A schedule of the Relay-era TVM is read after the step
that makes loops of it, where what the blocks of a module tell is found from the indices. Any change of a column needs a
new FEATURE_VERSION.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from tvm_memopt.cost_model.features import native
from tvm_memopt.cost_model.features.columns import EDGE_COLUMNS, FEATURE_VERSION, NODE_COLUMNS

if TYPE_CHECKING:
    import tvm

__all__ = ["FEATURE_VERSION", "Graphs", "compress", "extract", "extract_old", "join"]

EdgeType: TypeAlias = tuple[str, str, str]


@dataclass(frozen=True)
class Graphs:
    """A batch of graphs. Nodes of one type are numbered consecutively through the batch.

    ``nodes[type]``: float64 [count, columns]. ``edges[type]``: int32 [2, count], sources then targets.
    ``edge_values[type]``: float64 [count, columns]. ``node_starts[type]``, ``edge_starts[type]``: int64 [graphs + 1],
    the first row of each graph. Columns are those of columns.py, with raw values.
    """

    nodes: dict[str, np.ndarray]
    node_starts: dict[str, np.ndarray]
    edges: dict[EdgeType, np.ndarray]
    edge_values: dict[EdgeType, np.ndarray]
    edge_starts: dict[EdgeType, np.ndarray]

    def __len__(self) -> int:
        return len(self.node_starts["statement"]) - 1

    def graph_of(self, node_type: str) -> np.ndarray:
        """The graph index of each node of a type."""
        return np.repeat(np.arange(len(self)), np.diff(self.node_starts[node_type]))

    def both_ways(self) -> Iterator[tuple[EdgeType, np.ndarray, np.ndarray]]:
        """Each edge type with its ends and values, then its reverse as ``(target, "rev_…", source)``."""
        for (source, relation, target), ends in self.edges.items():
            values = self.edge_values[source, relation, target]
            yield (source, relation, target), ends, values
            yield (target, f"rev_{relation}", source), ends[::-1], values

    def select(self, wanted: Sequence[int] | np.ndarray) -> Graphs:
        """The graphs with these indices, in this order."""
        wanted = np.asarray(wanted, np.int64)
        kept = {name: rows_of_graphs(starts, wanted) for name, starts in self.node_starts.items()}
        starts = {name: _gathered(starts, wanted) for name, starts in self.node_starts.items()}
        nodes = {name: values[kept[name]] for name, values in self.nodes.items()}
        edges, values, edge_starts = {}, {}, {}
        for key, ends in self.edges.items():
            rows = rows_of_graphs(self.edge_starts[key], wanted)
            edge_starts[key] = _gathered(self.edge_starts[key], wanted)
            counts = np.diff(edge_starts[key])
            shift = [starts[name][:-1] - self.node_starts[name][wanted] for name in (key[0], key[2])]
            moved = np.stack([np.repeat(by, counts) for by in shift])
            edges[key] = (ends[:, rows] + moved).astype(np.int32)
            values[key] = self.edge_values[key][rows]
        return Graphs(nodes, starts, edges, values, edge_starts)


def extract(mods: Sequence[tvm.IRModule]) -> Graphs:
    """Extract the graphs of scheduled modules."""
    import tvm.s_tir  # noqa: F401  # registers the types whose fields the library reads

    return _graphs(native.library().extract_graphs(list(mods)))


def extract_old(programs: Sequence[str]) -> Graphs:
    """Extract the graphs of scheduled programs of the Relay-era TVM (0.16). Needs no TVM.

    ``programs``: of each, ``tvm.ir.save_json`` of the function that ``schedule_to_module`` returns. Raises ValueError
    for a text that is none.
    """
    return _graphs(native.library().extract_old_graphs(list(programs)))


def _graphs(tables: Sequence[bytes]) -> Graphs:
    columns = [*(len(names) for names in NODE_COLUMNS.values()), *(len(names) for names in EDGE_COLUMNS.values())]
    parts = []
    for i, width in enumerate(columns):
        counts = np.frombuffer(tables[3 * i + 2], np.int64)
        values = np.frombuffer(tables[3 * i], np.float64)
        total = int(counts[-1]) if len(counts) else 0
        if len(values) != total * width:
            raise ValueError(f"the native library is of another feature version than {FEATURE_VERSION}: build it again")
        ends = np.frombuffer(tables[3 * i + 1], np.int32).reshape(-1, 2).T
        parts.append((values.reshape(total, width), ends, np.concatenate([[0], counts])))
    return assemble(parts)


def join(parts: list[Graphs]) -> Graphs:
    """Concatenate several batches."""
    node_starts = {k: _joined_starts([p.node_starts[k] for p in parts]) for k in parts[0].node_starts}
    edge_starts = {k: _joined_starts([p.edge_starts[k] for p in parts]) for k in parts[0].edge_starts}
    nodes = {k: np.concatenate([p.nodes[k] for p in parts]) for k in parts[0].nodes}
    values = {k: np.concatenate([p.edge_values[k] for p in parts]) for k in parts[0].edge_values}
    edges = {}
    for key in parts[0].edges:
        shifted, offset = [], np.zeros((2, 1), np.int32)
        for part in parts:
            shifted.append(part.edges[key] + offset)
            offset = offset + np.array([[len(part.nodes[key[0]])], [len(part.nodes[key[2]])]], np.int32)
        edges[key] = np.concatenate(shifted, axis=1)
    return Graphs(nodes, node_starts, edges, values, edge_starts)


def _joined_starts(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.concatenate([np.diff(part) for part in parts]))]).astype(np.int64)


def compress(values: np.ndarray) -> np.ndarray:
    """sign(x) · log2(1 + |x|), float32. Compresses counts and bytes that span many orders of magnitude."""
    return np.asarray(np.sign(values) * np.log2(1.0 + np.abs(values)), np.float32)


def assemble(parts: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Graphs:
    """Build graphs from (values, edge ends, starts) of each node type, then of each edge type, as in columns.py."""
    node_starts = {name: part[2] for name, part in zip(NODE_COLUMNS, parts, strict=False)}
    nodes = {name: part[0] for name, part in zip(NODE_COLUMNS, parts, strict=False)}
    edges, values, edge_starts = {}, {}, {}
    for key, (rows, ends, starts) in zip(EDGE_COLUMNS, parts[len(NODE_COLUMNS) :], strict=True):
        counts = np.diff(starts)
        shift = np.stack([np.repeat(node_starts[name][:-1], counts) for name in (key[0], key[2])])
        edges[key] = (ends + shift).astype(np.int32)
        values[key], edge_starts[key] = rows, starts
    return Graphs(nodes, node_starts, edges, values, edge_starts)


def rows_of_graphs(starts: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Concatenated row indices of the graphs ``wanted``. ``starts``: the first row of each graph."""
    lengths = starts[wanted + 1] - starts[wanted]
    before = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.asarray(np.repeat(starts[wanted], lengths) + np.arange(len(before)) - before, np.int64)


def _gathered(starts: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.diff(starts)[wanted])]).astype(np.int64)

"""Predictions of a checkpoint with numpy alone: no torch, and little overhead for the few graphs of a search's batch.

The formulas are those of gcn.py; a test compares both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tvm_memopt.cost_model.features.columns import EDGE_COLUMNS, NODE_COLUMNS, STATEMENT_INVARIANT
from tvm_memopt.cost_model.features.extract import EdgeType, Graphs
from tvm_memopt.cost_model.network.normalization import EDGE_TERMS, Normalization, Prepared, key_name, prepare
from tvm_memopt.errors import MemoptError

if TYPE_CHECKING:
    from tvm_memopt.cost_model.network.checkpoint import Checkpoint

_NORM_EPSILON = 1e-5  # of torch's LayerNorm


@dataclass(frozen=True)
class Relation:
    """The edges of one type in one direction, in the order of their targets.

    ``firsts``: the first edge into each of ``targets``; ``shares``: float32 [nodes, 1], 1 / (edges into each node).
    """

    name: str
    source: str
    target: str
    sources: np.ndarray
    firsts: np.ndarray
    targets: np.ndarray
    shares: np.ndarray
    gate: np.ndarray
    shift: np.ndarray


class Predictor:
    """A checkpoint ready for prediction. Raises MemoptError, naming ``where``, if its weights are not a network's."""

    def __init__(self, checkpoint: Checkpoint, where: str) -> None:
        self.weights: Mapping[str, np.ndarray] = checkpoint.weights
        self.normalization: Normalization = checkpoint.normalization
        self.rounds, self.edges = int(checkpoint.architecture["rounds"]), str(checkpoint.architecture["edges"])
        self.dropout = float(checkpoint.architecture["dropout"])
        wanted = [f"read_out.{name}.weight" for name in NODE_COLUMNS]
        wanted += [f"rounds.{n}.norms.{name}.weight" for n in range(self.rounds) for name in NODE_COLUMNS]
        missing = [name for name in wanted if name not in self.weights]
        if missing:
            raise MemoptError(f"{where}: is a damaged checkpoint: it has no weights {missing[0]}")

    def predict(self, graphs: Graphs) -> tuple[np.ndarray, np.ndarray]:
        """(seconds, rank score) of compressed graphs, float64 [graphs] each."""
        logarithm, score = self._forward(prepare(graphs, self.normalization), None)
        return np.exp(logarithm), score

    def draw(self, graphs: Graphs, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(ln seconds, rank score) of compressed graphs under dropout, float64 [graphs] each."""
        return self._forward(prepare(graphs, self.normalization), rng)

    def _forward(self, prepared: Prepared, rng: np.random.Generator | None) -> tuple[np.ndarray, np.ndarray]:
        layers = [self._embedded(prepared.graphs)]
        relations = self._relations(prepared.graphs) if self.edges != "none" else []
        for number in range(self.rounds):
            layers.append(self._round(f"rounds.{number}.", layers[-1], relations, rng))
        parts, owners = [], []
        for key in EDGE_TERMS if self.edges != "none" else ():
            ends = prepared.graphs.edges[key][0 if key[1] == "writes" else 1]
            parts.append(_both_heads(prepared.edge_terms[key], self._edge_prices(prepared, key, layers[-1], ends)))
            owners.append(prepared.graphs.graph_of("statement")[ends])
        for name in NODE_COLUMNS:
            every = np.concatenate([layer[name] for layer in layers], axis=1)
            prices = self._two_layers(f"skip.{name}", layers[0][name], rng) + self._linear(f"read_out.{name}", every)
            parts.append(_both_heads(prepared.terms[name], prices))
            owners.append(prepared.graphs.graph_of(name))
        found = _sum_of_exponentials(np.concatenate(parts), np.concatenate(owners), len(prepared.graphs))
        return found[:, 0], -found[:, 1]

    def _embedded(self, graphs: Graphs) -> dict[str, np.ndarray]:
        statements, split = graphs.nodes["statement"], len(STATEMENT_INVARIANT)
        both = [self._linear("invariant", statements[:, :split]), self._linear("scheduled", statements[:, split:])]
        hidden = {"statement": np.maximum(np.concatenate(both, axis=1), 0)}
        return hidden | {n: np.maximum(self._linear(f"embed.{n}", graphs.nodes[n]), 0) for n in ("loop", "buffer")}

    def _relations(self, graphs: Graphs) -> list[Relation]:
        forwards = [(key, graphs.edges[key]) for key in EDGE_COLUMNS]
        backwards = [((t, f"rev_{r}", s), graphs.edges[s, r, t][::-1]) for s, r, t in EDGE_COLUMNS]
        return [self._relation(key, ends, graphs) for key, ends in (*forwards, *backwards)]

    def _relation(self, key: EdgeType, ends: np.ndarray, graphs: Graphs) -> Relation:
        base = (key[2], key[1].removeprefix("rev_"), key[0]) if key[1].startswith("rev_") else key
        values = graphs.edge_values[base]
        if values.shape[1] == 0:
            values = np.ones((len(values), 1), np.float32)
        order = np.argsort(ends[1], kind="stable")
        targets, firsts = np.unique(ends[1][order], return_index=True)
        counts = np.maximum(np.bincount(ends[1], minlength=len(graphs.nodes[key[2]])), 1)
        name = key_name(key)
        inner = np.maximum(self._linear(f"edge_values.{name}.encode.0", values[order]), 0)
        gate, shift = np.split(self._linear(f"edge_values.{name}.encode.2", inner), 2, axis=1)
        shares = (1.0 / counts).astype(np.float32)[:, None]
        return Relation(
            name, key[0], key[2], ends[0][order], firsts, targets, shares, 1.0 / (1.0 + np.exp(-gate)), shift
        )

    def _round(
        self, prefix: str, hidden: dict[str, np.ndarray], relations: list[Relation], rng: np.random.Generator | None
    ) -> dict[str, np.ndarray]:
        normed = {name: self._norm(f"{prefix}norms.{name}", values) for name, values in hidden.items()}
        incoming = {name: [values] for name, values in normed.items()}
        for one in relations:
            message = one.shift
            if self.edges == "full":
                projected = normed[one.source] @ self.weights[f"{prefix}project.{one.name}.weight"].T
                message = one.shift + one.gate * projected[one.sources]
            total = np.zeros((len(one.shares), message.shape[1]), np.float32)
            if len(one.targets):
                total[one.targets] = np.add.reduceat(message, one.firsts, axis=0)
            incoming[one.target] += [total * one.shares, total * np.float32(0.25)]
        return {
            name: values + self._two_layers(f"{prefix}updates.{name}", np.concatenate(incoming[name], axis=1), rng)
            for name, values in hidden.items()
        }

    def _edge_prices(
        self, prepared: Prepared, key: EdgeType, last: dict[str, np.ndarray], ends: np.ndarray
    ) -> np.ndarray:
        prefix = f"edge_prices.{key_name(key)}"
        told = last["statement"] @ self.weights[f"{prefix}.statement.weight"].T
        inner = np.maximum(self._linear(f"{prefix}.values", prepared.graphs.edge_values[key]) + told[ends], 0)
        return self._linear(f"{prefix}.read_out", inner)

    def _two_layers(self, name: str, values: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        inner = np.maximum(self._linear(f"{name}.0", values), 0)
        if rng is not None:
            kept = rng.random(inner.shape, np.float32) >= self.dropout
            inner = inner * kept * np.float32(1.0 / (1.0 - self.dropout))
        return self._linear(f"{name}.3", inner)

    def _linear(self, name: str, values: np.ndarray) -> np.ndarray:
        return np.asarray(values @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"])

    def _norm(self, name: str, values: np.ndarray) -> np.ndarray:
        centred = values - values.mean(axis=1, keepdims=True)
        deviation = np.sqrt((centred * centred).mean(axis=1, keepdims=True) + np.float32(_NORM_EPSILON))
        return np.asarray(centred / deviation * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"])


def _both_heads(terms: np.ndarray, prices: np.ndarray) -> np.ndarray:
    """ln of the sums over counts of both heads, float64 [rows, 2]."""
    price, correction = np.split(prices, 2, axis=1)
    seconds = terms + price
    return np.stack([_logsumexp(seconds), _logsumexp(seconds + correction)], axis=1)


def _logsumexp(values: np.ndarray) -> np.ndarray:
    most = values.max(axis=1)
    return np.asarray(most + np.log(np.exp(values - most[:, None]).sum(axis=1)), np.float64)


def _sum_of_exponentials(values: np.ndarray, owners: np.ndarray, count: int) -> np.ndarray:
    """ln of the sums over the rows of each graph, float64 [graphs, 2]."""
    if not count:
        return np.zeros((0, 2))
    order = np.argsort(owners, kind="stable")
    firsts = np.searchsorted(owners[order], np.arange(count))
    most = np.maximum.reduceat(values[order], firsts, axis=0)
    return np.asarray(most + np.log(np.add.reduceat(np.exp(values[order] - most[owners[order]]), firsts, axis=0)))

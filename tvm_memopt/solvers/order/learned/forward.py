"""The forward pass of the network in plain numpy; torch is needed only for training.

One layer (pre-norm) has an attention of its own for each relation. All results are concatenated, projected and added;
a feed-forward step follows. Sparse relations use scaled dot-product attention over the list of edges. Dense relations
(closure minus graph, both ways, and incomparability) hold for a large share of all n² pairs. Their attention weight
depends on the key alone, exp(k_u), and the query gates the weighted mean. The means over ancestors and over descendants
are therefore two products of the closure with a narrow matrix, and those over incomparable ops are the total minus
both: O(n²) multiplications by bits, but no n² scores. An op without neighbours in a relation gets zeros from it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tvm_memopt.solvers.native.order.learned import Policy
from tvm_memopt.solvers.order.learned.config import ModelConfig
from tvm_memopt.solvers.order.learned.neighbourhoods import EdgeList, Neighbourhoods

Weights = Mapping[str, np.ndarray]
SCORE_LIMIT = 8.0
"""Limit at which attention scores are clipped, so that no maximum has to be subtracted."""
KEY_LIMIT = 4.0
LEAST_MASS = 1e-6


def policy_of(config: ModelConfig, weights: Weights, features: np.ndarray, around: Neighbourhoods) -> Policy:
    """Return the network's policy for a graph. ``features``: (ops x FEATURES)."""
    output = network(config, weights, features, around)
    return Policy(output[:, 0], output[:, 1:])


def network(config: ModelConfig, weights: Weights, features: np.ndarray, around: Neighbourhoods) -> np.ndarray:
    """Return the output of the network, (ops x config.outputs) float32."""
    x = _linear(weights, "embed", features[:, : config.inputs])
    for layer in range(config.layers):
        name = f"layers.{layer}"
        x = x + _relations(config, weights, name, _norm(weights, f"{name}.norm", x), around)
        inner = _gelu(_linear(weights, f"{name}.expand", _norm(weights, f"{name}.norm_inner", x)))
        x = x + _linear(weights, f"{name}.contract", inner)
    return _linear(weights, "score", _gelu(_linear(weights, "head", _norm(weights, "norm", x))))


def _relations(config: ModelConfig, weights: Weights, name: str, x: np.ndarray, around: Neighbourhoods) -> np.ndarray:
    projected = _linear(weights, f"{name}.project", x)
    size = config.per_relation
    parts, start = [], 0
    for relation in config.sparse:
        query, key, value = np.split(projected[:, start : start + 3 * size], 3, axis=1)
        parts.append(_attend(config, around.lists[relation], query, key, value))
        start += 3 * size
    if config.dense:
        parts += _aggregates(config, projected[:, start:], around)
    return _linear(weights, f"{name}.join", np.concatenate(parts, axis=1))


def _attend(config: ModelConfig, edges: EdgeList, query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    shape = -1, config.heads, config.head_width
    products = (query[edges.to] * key[edges.of]).reshape(shape).sum(axis=2) / np.sqrt(np.float32(config.head_width))
    mass = np.exp(np.clip(products, -SCORE_LIMIT, SCORE_LIMIT))
    weighted = value[edges.of].reshape(shape) * mass[:, :, None]
    sums = edges.sums(np.concatenate([weighted.reshape(-1, config.per_relation), mass], axis=1))
    return _mean(config, sums, None)


def _aggregates(config: ModelConfig, projected: np.ndarray, around: Neighbourhoods) -> list[np.ndarray]:
    """Gated means over the dense relations."""
    columns, gates = [], []
    for part in np.split(projected, len(config.dense), axis=1):
        mass = np.exp(np.clip(part[:, : config.heads], -KEY_LIMIT, KEY_LIMIT))
        value, gate = np.split(part[:, config.heads :], 2, axis=1)
        weighted = value.reshape(-1, config.heads, config.head_width) * mass[:, :, None]
        columns.append(np.concatenate([weighted.reshape(-1, config.per_relation), mass], axis=1))
        gates.append(1 / (1 + np.exp(-gate)))
    forward, backward, apart = columns
    size = forward.shape[1]
    up, down = around.closure_sums(np.concatenate([forward, apart], axis=1), np.concatenate([backward, apart], axis=1))
    before, after = around.lists["edge_forward"], around.lists["edge_backward"]
    sums = (
        up[:, :size] - before.sums(forward[before.of]),
        down[:, :size] - after.sums(backward[after.of]),
        apart.sum(axis=0) - up[:, size:] - down[:, size:] - apart,
    )
    return [
        gate * _mean(config, found, around.counts[relation] > 0)
        for relation, found, gate in zip(config.dense, sums, gates, strict=True)
    ]


def _mean(config: ModelConfig, sums: np.ndarray, present: np.ndarray | None) -> np.ndarray:
    """Weighted means from sums of (weighted values, weights); zeros where nothing is ``present``."""
    total, mass = sums[:, : config.per_relation], sums[:, config.per_relation :]
    mean = total.reshape(-1, config.heads, config.head_width) / np.maximum(mass, LEAST_MASS)[:, :, None]
    flat: np.ndarray = mean.reshape(total.shape)
    return flat if present is None else np.where(present[:, None], flat, np.float32(0))


def _linear(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    product: np.ndarray = x @ weights[f"{name}.weight"].T
    product += weights[f"{name}.bias"]
    return product


def _norm(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=1, keepdims=True)
    scale = np.sqrt((centred * centred).mean(axis=1, keepdims=True) + np.float32(1e-5))
    normed: np.ndarray = centred / scale * weights[f"{name}.weight"] + weights[f"{name}.bias"]
    return normed


def _gelu(x: np.ndarray) -> np.ndarray:
    """GELU, in its tanh form."""
    bent = np.tanh(x * (np.float32(0.7978845608028654) + np.float32(0.035677408136300125) * (x * x)))
    result: np.ndarray = np.float32(0.5) * x * (1 + bent)
    return result

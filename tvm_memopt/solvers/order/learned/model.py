"""The network in PyTorch, for training. forward.py computes the same in numpy and describes the layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tvm_memopt.solvers.native.order.learned import STATE_FEATURES
from tvm_memopt.solvers.order.learned.config import ModelConfig
from tvm_memopt.solvers.order.learned.forward import KEY_LIMIT, LEAST_MASS, SCORE_LIMIT
from tvm_memopt.solvers.order.learned.neighbourhoods import Neighbourhoods

_FIRST_WEIGHTS = {"delta": -2.0, "share": 1.0, "unlock": -1.0, "recency": -1.0, "valley": -1.0}
"""Initial weights that make the policy a fair greedy one: few bytes now, and progress towards closing tensors."""


class Layer(nn.Module):  # type: ignore[misc]
    """Attention along each relation, then a feed-forward step."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        relations = len(config.sparse) + len(config.dense)
        self.config = config
        self.norm = nn.LayerNorm(config.width)
        self.project = nn.Linear(config.width, config.projected)
        self.join = nn.Linear(relations * config.per_relation, config.width)
        self.norm_inner = nn.LayerNorm(config.width)
        self.expand = nn.Linear(config.width, 2 * config.width)
        self.contract = nn.Linear(2 * config.width, config.width)

    def forward(self, x: torch.Tensor, graph: GraphTensors) -> torch.Tensor:
        """Map (ops x width) to (ops x width)."""
        x = x + self._relations(self.norm(x), graph)
        inner = functional.gelu(self.expand(self.norm_inner(x)), approximate="tanh")
        return x + self.contract(inner)

    def _relations(self, x: torch.Tensor, graph: GraphTensors) -> torch.Tensor:
        config, projected = self.config, self.project(x)
        size = config.per_relation
        parts, start = [], 0
        for relation in config.sparse:
            query, key, value = projected[:, start : start + 3 * size].split(size, dim=1)
            parts.append(self._attend(graph.lists[relation], query, key, value))
            start += 3 * size
        if config.dense:
            parts += self._aggregates(projected[:, start:], graph)
        return self.join(torch.cat(parts, dim=1))

    def _attend(
        self, edges: tuple[torch.Tensor, torch.Tensor], query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        config, (to, of) = self.config, edges
        shape = -1, config.heads, config.head_width
        products = (query[to] * key[of]).reshape(shape).sum(dim=2) / config.head_width**0.5
        mass = products.clamp(-SCORE_LIMIT, SCORE_LIMIT).exp()
        weighted = value[of].reshape(shape) * mass[:, :, None]
        columns = torch.cat([weighted.reshape(-1, config.per_relation), mass], dim=1)
        return self._mean(_sums(columns, to, len(query)), None)

    def _aggregates(self, projected: torch.Tensor, graph: GraphTensors) -> list[torch.Tensor]:
        config = self.config
        columns, gates = [], []
        for part in projected.chunk(len(config.dense), dim=1):
            mass = part[:, : config.heads].clamp(-KEY_LIMIT, KEY_LIMIT).exp()
            value, gate = part[:, config.heads :].chunk(2, dim=1)
            weighted = value.reshape(-1, config.heads, config.head_width) * mass[:, :, None]
            columns.append(torch.cat([weighted.reshape(-1, config.per_relation), mass], dim=1))
            gates.append(gate.sigmoid())
        forward, backward, apart = columns
        size = forward.shape[1]
        up = graph.ancestors @ torch.cat([forward, apart], dim=1)
        down = graph.ancestors.T @ torch.cat([backward, apart], dim=1)
        to, of = graph.lists["edge_forward"]
        sums = (
            up[:, :size] - _sums(forward[of], to, len(up)),
            down[:, :size] - _sums(backward[to], of, len(up)),
            apart.sum(dim=0) - up[:, size:] - down[:, size:] - apart,
        )
        return [
            gate * self._mean(found, graph.present[relation])
            for relation, found, gate in zip(config.dense, sums, gates, strict=True)
        ]

    def _mean(self, sums: torch.Tensor, present: torch.Tensor | None) -> torch.Tensor:
        config = self.config
        total, mass = sums[:, : config.per_relation], sums[:, config.per_relation :]
        mean = total.reshape(-1, config.heads, config.head_width) / mass.clamp(min=LEAST_MASS)[:, :, None]
        mean = mean.reshape(total.shape)
        return mean if present is None else mean.where(present[:, None], torch.zeros(()))


class GraphTensors:
    """One graph as tensors: ``features`` (ops x FEATURES), edge lists, the closure, and ops with dense neighbours."""

    def __init__(self, features: np.ndarray, around: Neighbourhoods, dense: bool) -> None:
        self.features = torch.from_numpy(features)
        self.lists = {
            name: (torch.from_numpy(edges.to), torch.from_numpy(edges.of)) for name, edges in around.lists.items()
        }
        self.present = {name: torch.from_numpy(counts > 0) for name, counts in around.counts.items()}
        ops = around.relations.ops
        self.ancestors = torch.from_numpy(around.relations.rows(0, ops)) if dense else torch.zeros(0, 0)


class Topoformer(nn.Module):  # type: ignore[misc]
    """Scores for the ops of one graph."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Linear(config.inputs, config.width)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.width)
        self.score = nn.Linear(config.width, config.outputs)
        with torch.no_grad():
            self.score.weight.mul_(0.1)
            self.score.bias.zero_()
            if config.state:
                self.score.bias[1:] = torch.tensor([_FIRST_WEIGHTS[name] for name in STATE_FEATURES])

    def forward(self, graph: GraphTensors) -> torch.Tensor:
        """Return (ops x config.outputs): the priority, then the weights of the state features."""
        x = self.embed(graph.features[:, : self.config.inputs])
        for layer in self.layers:
            x = layer(x, graph)
        result: torch.Tensor = self.score(functional.gelu(self.head(self.norm(x)), approximate="tanh"))
        return result


def arrays(model: Topoformer) -> dict[str, Any]:
    """The weights by name, in the form that forward.py takes."""
    return {name: value.detach().numpy().copy() for name, value in model.state_dict().items()}


def _sums(values: torch.Tensor, to: torch.Tensor, ops: int) -> torch.Tensor:
    return torch.zeros(ops, values.shape[1]).index_add(0, to, values)

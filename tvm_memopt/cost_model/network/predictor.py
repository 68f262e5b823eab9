"""A network with its normalisation: from graphs to predictions, and to and from a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from tvm_memopt.cost_model.features.extract import Graphs
from tvm_memopt.cost_model.network.checkpoint import Checkpoint
from tvm_memopt.cost_model.network.gcn import Architecture, GraphNetwork
from tvm_memopt.cost_model.network.normalization import Batch, Normalization, Prepared, prepare
from tvm_memopt.errors import MemoptError

if TYPE_CHECKING:
    from tvm_memopt.cost_model.network.card import Card

_NODES_AT_ONCE = 30_000  # statements, loops and buffers of one forward pass: what fits the caches' reach


@dataclass
class Trained:
    """A network that can be asked; ``target``: JSON of what it was trained for; ``card``: as in Checkpoint."""

    network: GraphNetwork
    normalization: Normalization
    target: str
    card: Card

    def predict(self, graphs: Graphs) -> tuple[np.ndarray, np.ndarray]:
        """(seconds, rank score) of compressed graphs, float64 [graphs] each."""
        return self.predict_prepared(prepare(graphs, self.normalization))

    def predict_prepared(self, prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
        """The same, of graphs already standardised."""
        found = [self.network(batch) for batch in self._batches(prepared)]
        if not found:
            return np.zeros(0), np.zeros(0)
        seconds, score = (torch.cat(parts).double().cpu().numpy() for parts in zip(*found, strict=True))
        return np.exp(seconds), score

    def embed(self, graphs: Graphs) -> np.ndarray:
        """Embeddings as of GraphNetwork.embeddings, float32 [graphs, width + 2]."""
        prepared = prepare(graphs, self.normalization)
        return np.asarray(torch.cat([self.network.embeddings(batch) for batch in self._batches(prepared)]).cpu())

    def checkpoint(self) -> Checkpoint:
        """What is written to disk."""
        weights = {name: value.detach().cpu().numpy() for name, value in self.network.state_dict().items()}
        return Checkpoint(asdict(self.network.shape), weights, self.normalization, self.target, self.card)

    def _batches(self, prepared: Prepared) -> Iterator[Batch]:
        self.network.eval()
        device = next(self.network.parameters()).device.type
        starts = sum(prepared.graphs.node_starts.values())
        with torch.inference_mode():
            for first, last in _pieces(np.asarray(starts)):
                yield prepared.batch(np.arange(first, last), device)


def from_checkpoint(checkpoint: Checkpoint, where: str) -> Trained:
    """The network of a checkpoint. Raises MemoptError, naming ``where``, for weights that do not fit."""
    try:
        network = GraphNetwork(Architecture(**checkpoint.architecture))
        network.load_state_dict({name: torch.from_numpy(values) for name, values in checkpoint.weights.items()})
    except (RuntimeError, TypeError, ValueError) as error:
        first = " ".join(str(error).split())[:160]
        raise MemoptError(f"{where}: is a damaged checkpoint: its weights do not fit: {first}") from error
    return Trained(network, checkpoint.normalization, checkpoint.target, checkpoint.card.copy())


def _pieces(starts: np.ndarray) -> Iterator[tuple[int, int]]:
    """Runs of graphs of about _NODES_AT_ONCE nodes; ``starts``: nodes before each graph, and in all."""
    first = 0
    while first < len(starts) - 1:
        last = int(np.searchsorted(starts, starts[first] + _NODES_AT_ONCE, side="right")) - 1
        last = min(max(last, first + 1), len(starts) - 1)
        yield first, last
        first = last

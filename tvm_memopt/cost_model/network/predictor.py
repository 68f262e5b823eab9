"""A trained network with its normalisation: predictions for graphs, and conversion to and from checkpoints."""

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

_NODES_AT_ONCE = 30_000  # statements, loops and buffers in one forward pass, chosen to fit the caches


@dataclass
class Trained:
    """A network ready for prediction. ``target``: JSON of the target it was trained for; ``card``: as in Checkpoint."""

    network: GraphNetwork
    normalization: Normalization
    target: str
    card: Card

    def predict(self, graphs: Graphs) -> tuple[np.ndarray, np.ndarray]:
        """Predict (seconds, rank score) of compressed graphs, float64 [graphs] each."""
        return self.predict_prepared(prepare(graphs, self.normalization))

    def predict_prepared(self, prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
        """Like predict, for graphs that are already standardised."""
        found = [self.network(batch) for batch in self._batches(prepared)]
        if not found:
            return np.zeros(0), np.zeros(0)
        seconds, score = (torch.cat(parts).double().cpu().numpy() for parts in zip(*found, strict=True))
        return np.exp(seconds), score

    def embed(self, graphs: Graphs) -> np.ndarray:
        """Embeddings as in GraphNetwork.embeddings, float32 [graphs, width + 2]."""
        prepared = prepare(graphs, self.normalization)
        return np.asarray(torch.cat([self.network.embeddings(batch) for batch in self._batches(prepared)]).cpu())

    def checkpoint(self) -> Checkpoint:
        """The checkpoint of this network."""
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
    """Build the network of a checkpoint. Raises MemoptError, naming ``where``, if the weights do not fit."""
    try:
        network = GraphNetwork(Architecture(**checkpoint.architecture))
        network.load_state_dict({name: torch.from_numpy(values) for name, values in checkpoint.weights.items()})
    except (RuntimeError, TypeError, ValueError) as error:
        first = " ".join(str(error).split())[:160]
        raise MemoptError(f"{where}: is a damaged checkpoint: its weights do not fit: {first}") from error
    return Trained(network, checkpoint.normalization, checkpoint.target, checkpoint.card.copy())


def _pieces(starts: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ranges of graphs with about _NODES_AT_ONCE nodes. ``starts``: nodes before each graph, and in total."""
    first = 0
    while first < len(starts) - 1:
        last = int(np.searchsorted(starts, starts[first] + _NODES_AT_ONCE, side="right")) - 1
        last = min(max(last, first + 1), len(starts) - 1)
        yield first, last
        first = last

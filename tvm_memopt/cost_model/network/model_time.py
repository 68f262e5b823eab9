"""Level 2 of the performance model: the time of each kernel call in a whole model, and of the model.

Nodes are kernel calls, with the embedding and the time that the level-1 graph network gives their kernel. Edges are
tensors, with the bytes that flow and the bytes that other calls moved in between, which measure cache eviction. With
h⁰ the embedding of a call, and for l = 1 … L

    h^l = h^{l-1} + MLP(LayerNorm(h^{l-1}) ‖ m_read ‖ m_written),   m = mean over tensors of σ(gate) ⊙ W h + shift
    seconds of call n = seconds of its kernel by level 1 · exp(w · [h⁰ ‖ … ‖ h^L] + b)

and the time of the model is the sum. An untrained network returns the level-1 times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from tvm_memopt.cost_model.data.model_calls import CALL_COLUMNS, EDGE_COLUMNS, NetworkSample
from tvm_memopt.cost_model.network.checkpoint import Checkpoint
from tvm_memopt.cost_model.network.epochs import descend, train_keeping_best
from tvm_memopt.cost_model.network.losses import relative_error_loss
from tvm_memopt.cost_model.network.normalization import Normalization
from tvm_memopt.cost_model.network.predictor import Trained
from tvm_memopt.errors import MemoptError

KIND = "network"
_LIMIT = 6.0


@dataclass(frozen=True)
class CallBatch:
    """``calls``: float32 [calls, columns]; ``base``: ln seconds of level 1; ``edges``: int64 [2, edges]."""

    calls: Tensor
    base: Tensor
    edges: Tensor
    edge_values: Tensor


class CallNetwork(nn.Module):  # type: ignore[misc]
    """The level-2 network. Input: a CallBatch; output: ln seconds, float32 [calls]."""

    def __init__(self, columns: int, width: int = 32, rounds: int = 2) -> None:
        super().__init__()
        self.columns, self.width, self.rounds = columns, width, rounds
        self.embed = nn.Sequential(nn.Linear(columns, width), nn.ReLU())
        self.values = nn.ModuleList(nn.Linear(len(EDGE_COLUMNS), 2 * width) for _ in range(2))
        self.project = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(2 * rounds))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(rounds))
        self.updates = nn.ModuleList(
            nn.Sequential(nn.Linear(3 * width, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, width))
            for _ in range(rounds)
        )
        self.read_out = nn.Linear((rounds + 1) * width, 1)
        nn.init.zeros_(self.read_out.weight)
        nn.init.zeros_(self.read_out.bias)

    def forward(self, batch: CallBatch) -> Tensor:
        """Apply the network; the class describes input and output."""
        hidden = self.embed(batch.calls)
        layers = [hidden]
        for number in range(self.rounds):
            normed = self.norms[number](hidden)
            heard = [self._heard(batch, normed, number, way) for way in range(2)]
            hidden = hidden + self.updates[number](torch.cat([normed, *heard], dim=1))
            layers.append(hidden)
        return batch.base + self.read_out(torch.cat(layers, dim=1))[:, 0]

    def _heard(self, batch: CallBatch, hidden: Tensor, number: int, way: int) -> Tensor:
        """Mean message over the tensors read (way 0) or written (way 1) by each call."""
        source, target = batch.edges[way], batch.edges[1 - way]
        gate, shift = self.values[way](batch.edge_values).chunk(2, dim=1)
        message = torch.sigmoid(gate) * self.project[2 * number + way](hidden)[source] + shift
        total = torch.zeros_like(hidden).index_add_(0, target, message)
        count = torch.bincount(target, minlength=len(hidden)).clamp(min=1)
        return total / count[:, None]


@dataclass
class TrainedCalls:
    """A CallNetwork on top of a level-1 network."""

    level1: Trained
    network: CallNetwork
    normalization: Normalization

    def predict(self, sample: NetworkSample) -> np.ndarray:
        """Seconds of each call, float64 [calls]."""
        self.network.eval()
        with torch.inference_mode():
            logarithms = self.network(_batch(self.level1, self.normalization, sample))
            return np.asarray(np.exp(logarithms.double().numpy()))

    def checkpoint(self) -> Checkpoint:
        """The checkpoint of this network. The level-1 network has its own."""
        weights = {name: value.numpy() for name, value in self.network.state_dict().items()}
        shape = {"kind": KIND, "columns": self.network.columns, "width": self.network.width}
        return Checkpoint({**shape, "rounds": self.network.rounds}, weights, self.normalization, self.level1.target)


def from_call_checkpoint(level1: Trained, checkpoint: Checkpoint, where: str) -> TrainedCalls:
    """Load a level-2 checkpoint on top of the level-1 network it was trained with.

    Raises MemoptError, naming ``where``, if the checkpoint does not fit.
    """
    shape = dict(checkpoint.architecture)
    if shape.pop("kind", None) != KIND:
        raise MemoptError(f"{where}: is a checkpoint of single kernels, expected one of whole models")
    try:
        network = CallNetwork(**shape)
        network.load_state_dict({name: torch.from_numpy(values) for name, values in checkpoint.weights.items()})
    except (RuntimeError, TypeError) as error:
        raise MemoptError(f"{where}: is a damaged checkpoint: its weights do not fit") from error
    return TrainedCalls(level1, network, checkpoint.normalization)


def kernel_seconds(level1: Trained, sample: NetworkSample) -> np.ndarray:
    """Seconds of each call by level 1 alone, independent of its position in the model."""
    return np.asarray(level1.predict(sample.graphs)[0][sample.calls.kernels])


def train_calls(
    level1: Trained, samples: Sequence[NetworkSample], valid: Sequence[NetworkSample] = (), epochs: int = 200,
    seed: int = 0,
) -> TrainedCalls:  # fmt: skip
    """Train a level-2 network on measured models.

    ``valid``: models that decide which epoch is kept; without them the last is. The loss combines the relative errors
    of the calls and of the whole model.
    """
    if not samples:
        raise MemoptError("there is no measured model to train on")
    torch.manual_seed(seed)
    normalization = _fit(level1, samples)
    batches = [(_batch(level1, normalization, s), _seconds(s)) for s in samples]
    held_out = [(_batch(level1, normalization, s), _seconds(s)) for s in valid]
    network = CallNetwork(batches[0][0].calls.shape[1])
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=1e-2)
    rng = np.random.default_rng(seed)

    def train() -> None:
        for number in rng.permutation(len(batches)):
            descend(network, optimizer, _loss(network, *batches[number]))

    def judge() -> float:
        with torch.inference_mode():
            return float(np.mean([float(_loss(network, *pair)) for pair in held_out]))

    train_keeping_best(network, epochs, train, judge if held_out else None)
    return TrainedCalls(level1, network, normalization)


def _loss(network: CallNetwork, batch: CallBatch, seconds: Tensor) -> Tensor:
    predicted, zero = network(batch), torch.zeros(len(seconds))
    calls = relative_error_loss(predicted, seconds, seconds, zero)
    whole = torch.logsumexp(predicted, dim=0)[None]
    total = seconds.sum()[None]
    return calls + relative_error_loss(whole, total, total, zero[:1])


def _seconds(sample: NetworkSample) -> Tensor:
    return torch.from_numpy(np.maximum(sample.calls.seconds, 1e-7)).float()


def _tables(level1: Trained, sample: NetworkSample) -> tuple[np.ndarray, np.ndarray]:
    embedded = level1.embed(sample.graphs)[sample.calls.kernels]
    return np.concatenate([embedded, sample.calls.values], axis=1), sample.calls.edge_values


def _fit(level1: Trained, samples: Sequence[NetworkSample]) -> Normalization:
    parts = [_tables(level1, sample) for sample in samples]
    means, deviations = {}, {}
    for name, tables in (("call", [p[0] for p in parts]), ("tensor", [p[1] for p in parts])):
        every = np.concatenate(tables)
        means[name] = every.mean(axis=0) if len(every) else np.zeros(every.shape[1], np.float32)
        deviation = every.std(axis=0) if len(every) else np.ones(every.shape[1], np.float32)
        deviations[name] = np.where(deviation > 1e-4, deviation, 1.0).astype(np.float32)
    return Normalization(means, deviations)


def _batch(level1: Trained, normalization: Normalization, sample: NetworkSample) -> CallBatch:
    calls, tensors = _tables(level1, sample)

    def scaled(name: str, values: np.ndarray) -> Tensor:
        found = (values - normalization.means[name]) / normalization.deviations[name]
        return torch.from_numpy(np.clip(found, -_LIMIT, _LIMIT).astype(np.float32))

    base = torch.from_numpy(calls[:, -len(CALL_COLUMNS) - 2].copy())
    return CallBatch(scaled("call", calls), base, torch.from_numpy(sample.calls.edges), scaled("tensor", tensors))

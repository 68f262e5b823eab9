"""Published networks that do not use a graph: TenSet's per-store MLP and a model in the style of Halide's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.references.per_store import Stores
from tvm_memopt.cost_model.data.samples import Samples
from tvm_memopt.cost_model.features.columns import ARITHMETIC, CAPACITIES, STATEMENT, STATEMENT_INVARIANT
from tvm_memopt.cost_model.network.epochs import descend, train_keeping_best

_GRADIENT = 0.5


class StoreNetwork(nn.Module):
    """TenSet's MLP: two ReLU layers on each row, their sum, two residual ReLU layers, a score."""

    def __init__(self, columns: int, width: int = 256) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(columns, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.residual = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.decode = nn.Linear(width, 1)

    def forward(self, rows: Tensor, candidate: Tensor, count: int) -> Tensor:
        """Scores [count] of rows [stores, columns]; ``candidate``: of each row."""
        encoded = self.encode(rows)
        hidden = encoded.new_zeros(count, encoded.shape[1]).index_add_(0, candidate, encoded)
        for layer in self.residual:
            hidden = functional.relu(layer(hidden)) + hidden
        return self.decode(hidden)[:, 0]


def lambda_rank_loss(score: Tensor, label: Tensor) -> Tensor:
    """LambdaRank of the candidates of one program: pairs weigh what swapping them changes of the discounted gain."""
    order = torch.argsort(score, descending=True)
    score, label = score[order], label[order]
    discount = torch.log2(torch.arange(len(score), dtype=score.dtype) + 2.0)
    gain = torch.exp2(label) - 1.0
    ideal = (torch.sort(gain, descending=True).values / discount).sum().clamp(min=1e-6)
    weight = (gain[:, None] - gain[None, :]).abs() / ideal * (1 / discount[:, None] - 1 / discount[None, :]).abs()
    pairs = label[:, None] > label[None, :]
    loss = functional.softplus(-(score[:, None] - score[None, :]))
    return 10.0 * (loss * weight)[pairs].sum()


class HalideNetwork(nn.Module):
    """After Adams et al. 2019: the features of each stage give non-negative coefficients of cost terms.

    Seconds = 1e-9 · scale · Σ_stages Σ_k relu(coefficient_k) · term_k. Stages are this package's statements, and the
    terms are made of their columns: points, loads, lines at five cache sizes, footprints, loop overhead, a constant.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(len(STATEMENT_INVARIANT), 8)
        self.second = nn.Linear(len(STATEMENT) - len(STATEMENT_INVARIANT), 24)
        self.joined = nn.Linear(32, TERMS)
        nn.init.constant_(self.joined.bias, 0.5)
        self.register_buffer("scale", torch.ones(1))

    def forward(self, rows: Tensor, terms: Tensor, candidate: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """(seconds [count], sum of negative pre-activations)."""
        split = len(STATEMENT_INVARIANT)
        invariant = functional.linear(rows[:, :split], torch.sigmoid(self.first.weight), self.first.bias)
        scheduled = functional.relu(self.second(rows[:, split:]))
        raw = self.joined(torch.cat([invariant, scheduled], dim=1))
        stage = (functional.relu(raw) * terms).sum(dim=1)
        total = stage.new_zeros(count).index_add_(0, candidate, stage)
        return total * 1e-9 * self.scale, functional.relu(-raw).sum()


def halide_loss(predicted: Tensor, negative: Tensor, seconds: Tensor, fastest: Tensor) -> Tensor:
    """Squared error of relative throughput, and 1e-5 of what the coefficients fell below zero."""
    throughput = 1.0 / (predicted / fastest).clamp(min=1e-10)
    return ((throughput - fastest / seconds) ** 2).sum() + 1e-5 * negative


def cost_terms(rows: np.ndarray) -> np.ndarray:
    """The terms of HalideNetwork, float32 [statements, TERMS], of compressed statement rows."""
    raw = {name: np.exp2(np.maximum(rows[:, i], 0.0)) - 1.0 for i, name in enumerate(STATEMENT)}
    iterations, vector = raw["iterations"], np.maximum(raw["vector_extent"], 1.0)
    operations = sum(raw[name] for name in ARITHMETIC if name != "load")
    found = [
        np.where(vector > 1, iterations / vector, 0.0), np.where(vector > 1, 0.0, iterations),
        iterations * operations / vector, iterations * raw["load"] / vector, iterations * raw["load"],
        iterations * raw["float_math"], iterations * raw["int_div"], iterations * raw["predicated"],
        *(raw[f"traffic_{capacity}"] / 64 for capacity in CAPACITIES), raw["footprint_lines"],
        raw["footprint_nbytes"] / 64, iterations / np.maximum(raw["innermost_extent"], 1.0), np.ones(len(rows)),
    ]  # fmt: skip
    return np.stack(found, axis=1).astype(np.float32)


TERMS = 17


def fit_store_network(
    samples: Samples, stores: Stores, split: dict[str, np.ndarray], epochs: int, seed: int
) -> np.ndarray:
    """Scores of all candidates by TenSet's MLP."""
    torch.manual_seed(seed)
    train = stores.select(samples.of_programs(split["train"])).rows
    mean, deviation = train.mean(axis=0), np.maximum(train.std(axis=0), 1e-3)
    label = (samples.fastest / samples.seconds).astype(np.float32)
    network = StoreNetwork(train.shape[1])

    def score(wanted: np.ndarray) -> Tensor:
        part = stores.select(wanted)
        rows = torch.from_numpy(np.clip((part.rows - mean) / deviation, -6.0, 6.0).astype(np.float32))
        return network(rows, torch.from_numpy(part.candidate), len(part))

    def loss(wanted: np.ndarray) -> Tensor:
        return lambda_rank_loss(score(wanted), torch.from_numpy(label[wanted])) / len(wanted)

    optimizer = torch.optim.Adam(network.parameters(), 7e-4, weight_decay=1e-6)
    fit(network, optimizer, loss, samples, split, epochs, seed)
    return _all(score, len(samples))


def fit_halide_network(samples: Samples, split: dict[str, np.ndarray], epochs: int, seed: int) -> np.ndarray:
    """Seconds of all candidates by the model in the manner of Halide's."""
    torch.manual_seed(seed)
    table, starts = samples.graphs.nodes["statement"], samples.graphs.node_starts["statement"]
    stages = Stores(table, starts)
    terms = Stores(cost_terms(table), starts)
    seconds, fastest = samples.seconds.astype(np.float32), samples.fastest.astype(np.float32)
    network = HalideNetwork()

    def both(wanted: np.ndarray) -> tuple[Tensor, Tensor]:
        part = stages.select(wanted)
        rows, own = torch.from_numpy(part.rows), torch.from_numpy(terms.select(wanted).rows)
        return network(rows, own, torch.from_numpy(part.candidate), len(part))

    def loss(wanted: np.ndarray) -> Tensor:
        truth, best = (torch.from_numpy(values[wanted]) for values in (seconds, fastest))
        return halide_loss(*both(wanted), truth, best) / len(wanted)

    with torch.no_grad():  # the unit of the coefficients: right for the median candidate
        few = samples.of_programs(split["train"])[::7]
        network.scale *= float(np.median(seconds[few] / both(few)[0].numpy()))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, eps=1e-5)
    fit(network, optimizer, loss, samples, split, epochs, seed)
    return np.maximum(_all(lambda wanted: both(wanted)[0], len(samples)), 1e-9)


def fit(
    network: nn.Module, optimizer: torch.optim.Optimizer, loss: Callable[[np.ndarray], Tensor], samples: Samples,
    split: dict[str, np.ndarray], epochs: int, seed: int,
) -> None:  # fmt: skip
    """Epochs of one batch a program; the weights of the epoch that is best on held-out programs are kept."""
    rng = np.random.default_rng(seed)
    programs = {part: [samples.of_programs([p]) for p in split[part]] for part in ("train", "valid")}

    def train() -> None:
        for number in rng.permutation(len(programs["train"])):
            descend(network, optimizer, loss(programs["train"][number]), _GRADIENT)

    def judge() -> float:
        with torch.inference_mode():
            return float(np.mean([float(loss(wanted)) for wanted in programs["valid"]]))

    train_keeping_best(network, epochs, train, judge)


def _all(call: Callable[[np.ndarray], Tensor], count: int) -> np.ndarray:
    pieces: Sequence[np.ndarray] = np.array_split(np.arange(count), max(1, count // 256))
    with torch.inference_mode():
        return torch.cat([call(piece) for piece in pieces]).double().numpy()

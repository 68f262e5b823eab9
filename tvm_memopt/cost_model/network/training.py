"""Training of the graph network: seeded, resumable, with early stopping on held-out programs."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from math import cos, pi
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor

from tvm_memopt.atomic import atomic_path
from tvm_memopt.cost_model.data.samples import Samples, split_programs
from tvm_memopt.cost_model.network.epochs import descend
from tvm_memopt.cost_model.network.gcn import Architecture, GraphNetwork
from tvm_memopt.cost_model.network.losses import ranking_loss, relative_error_loss
from tvm_memopt.cost_model.network.metrics import Metrics, measure
from tvm_memopt.cost_model.network.normalization import Prepared, fit_normalization, prepare
from tvm_memopt.cost_model.network.predictor import Trained
from tvm_memopt.errors import MemoptError

if TYPE_CHECKING:
    from tvm_memopt.cost_model.network.card import Card


@dataclass(frozen=True)
class Settings:
    """Training settings.

    ``programs_at_once`` x ``per_program`` candidates make a batch. ``emphasis``: of fast candidates in the loss.
    ``ranking``: weight of the ranking loss. ``averaging``: decay of the averaged weights, which are the ones kept.
    ``patience``: epochs without a better held-out loss before training stops. ``shares``, ``split_seed``, ``fold``: see
    split_programs.
    """

    seed: int = 0
    epochs: int = 60
    programs_at_once: int = 6
    per_program: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    emphasis: float = 0.3
    ranking: float = 0.5
    averaging: float = 0.99
    patience: int = 12
    device: str = "cpu"
    split_seed: int = 0
    fold: int = 0
    shares: tuple[float, float] = (0.7, 0.1)
    architecture: Architecture = field(default_factory=Architecture)


@dataclass
class Curve:
    """One epoch: training loss, held-out loss and held-out metrics."""

    epoch: int
    train: float
    valid: float
    metrics: dict[str, float]


Watch: TypeAlias = Callable[[Curve, float], None]
"""Called after each epoch with its curve and the best held-out loss so far."""


def train(
    samples: Samples, target: str, settings: Settings, state: Path | None = None, watch: Watch | None = None,
    split: dict[str, np.ndarray] | None = None,
) -> Trained:  # fmt: skip
    """Train a network on the training programs of ``samples``. Its card holds settings, curves and test metrics.

    ``state``: file to resume from, written after each epoch and deleted at the end. ``split``: programs of each part.
    Raises MemoptError if a part has no program, or if ``state`` belongs to other data or settings.
    """
    split = split or split_programs(samples.names, settings.split_seed, settings.shares, settings.fold)
    for part in ("train", "valid"):
        if len(split[part]) == 0:
            raise MemoptError(f"none of the {len(samples.names)} programs is in the {part} part: collect more programs")
    run = _Run(samples, settings, split)
    run.resume(state)
    while run.epoch < settings.epochs and run.stale < settings.patience:
        run.one_epoch()
        if state is not None:
            run.keep(state)
        if watch is not None:
            watch(run.curves[-1], run.best)
    trained = Trained(run.best_network(), run.normalization, target, {})
    trained.card.update(_card(trained, samples, settings, split, run))
    if state is not None:
        state.unlink(missing_ok=True)
    return trained


def evaluate(trained: Trained, samples: Samples, wanted: np.ndarray) -> Metrics:
    """Metrics on the candidates numbered ``wanted``, ranked by rank score."""
    seconds, score = trained.predict(samples.graphs.select(wanted))
    return measure(seconds, score, samples.seconds[wanted], samples.program[wanted])


def calibrate(network: GraphNetwork, prepared: Prepared, seconds: np.ndarray, wanted: np.ndarray) -> None:
    """Shift a new network's predictions so that the median error in ln seconds is zero. Done before training."""
    few = wanted[:: max(1, len(wanted) // 256)]
    device = next(network.parameters()).device.type
    network.eval()
    with torch.no_grad():
        predicted, _ = network(prepared.batch(few, device))
        network.shift(float(np.median(np.log(seconds[few]) - predicted.cpu().numpy())))


class _Run:
    """The mutable state of a training run."""

    def __init__(self, samples: Samples, settings: Settings, split: dict[str, np.ndarray]) -> None:
        self.settings, self.split = settings, split
        torch.manual_seed(settings.seed)
        train = samples.of_programs(split["train"])
        self.normalization = fit_normalization(samples.graphs.select(train))
        self.prepared = prepare(samples.graphs, self.normalization)
        self.samples, self.fastest = samples, samples.fastest
        self.network = GraphNetwork(settings.architecture).to(settings.device)
        calibrate(self.network, self.prepared, samples.seconds, train)
        self.average: GraphNetwork = copy.deepcopy(self.network)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.valid = samples.of_programs(split["valid"])
        self.epoch, self.stale, self.best, self.steps = 0, 0, float("inf"), 0
        self.best_weights = self.average.state_dict()
        self.curves: list[Curve] = []

    def one_epoch(self) -> None:
        """Train once on every training candidate, then evaluate the held-out ones."""
        rng = np.random.default_rng([self.settings.seed, self.epoch])
        torch.manual_seed(self.settings.seed * 100_003 + self.epoch)
        self.network.train()
        losses = []
        batches = list(self._batches(rng))
        for number, wanted in enumerate(batches):
            self._set_rate((self.epoch + number / len(batches)) / self.settings.epochs)
            loss = self._loss(self.network, wanted)
            descend(self.network, self.optimizer, loss)
            self._follow()
            losses.append(float(loss.detach()))
        self.epoch += 1
        self._judge(float(np.mean(losses)))

    def _batches(self, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Batches with several candidates of each of several programs, so that there are pairs to rank."""
        size, pieces = self.settings.per_program, []
        for program in self.split["train"]:
            own = rng.permutation(self.samples.of_programs([program]))
            pieces += np.array_split(own, max(1, round(len(own) / size)))
        order = rng.permutation(len(pieces))
        for start in range(0, len(order), self.settings.programs_at_once):
            yield np.concatenate([pieces[i] for i in order[start : start + self.settings.programs_at_once]])

    def _set_rate(self, progress: float) -> None:
        """Set the learning rate: a short warm-up, then half a cosine."""
        rise = min(1.0, (self.steps + 1) / 100)
        rate = self.settings.learning_rate * rise * (0.02 + 0.98 * (1 + cos(pi * min(progress, 1.0))) / 2)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def _loss(self, network: GraphNetwork, wanted: np.ndarray) -> Tensor:
        device = self.settings.device
        predicted, score = network(self.prepared.batch(wanted, device))

        def tensor(values: np.ndarray) -> Tensor:
            return torch.from_numpy(values[wanted].astype(np.float32)).to(device)

        seconds, program = tensor(self.samples.seconds), torch.from_numpy(self.samples.program[wanted]).to(device)
        error = relative_error_loss(
            predicted, seconds, tensor(self.fastest), tensor(self.samples.spread), self.settings.emphasis
        )
        return error + self.settings.ranking * ranking_loss(score, seconds, program)

    def _follow(self) -> None:
        self.steps += 1
        decay = min(self.settings.averaging, self.steps / (self.steps + 10))
        with torch.no_grad():
            for kept, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
                kept.lerp_(new, 1 - decay)

    def _judge(self, train_loss: float) -> None:
        self.average.eval()
        losses, sizes = [], []
        with torch.inference_mode():
            for program in self.split["valid"]:
                wanted = self.samples.of_programs([program])
                losses.append(float(self._loss(self.average, wanted)))
                sizes.append(len(wanted))
        valid = float(np.average(losses, weights=sizes))
        trained = Trained(self.average, self.normalization, "", {})
        seconds, score = trained.predict_prepared(self.prepared.select(self.valid))
        found = measure(seconds, score, self.samples.seconds[self.valid], self.samples.program[self.valid])
        self.curves.append(Curve(self.epoch, train_loss, valid, found.document()))
        self.stale += 1
        if valid < self.best:
            self.best, self.stale = valid, 0
            self.best_weights = copy.deepcopy(self.average.state_dict())

    def best_network(self) -> GraphNetwork:
        """The averaged weights of the best epoch."""
        self.average.load_state_dict(self.best_weights)
        self.average.eval()
        return self.average

    def _identity(self) -> str:
        """What a saved state must match: the settings and the data."""
        digest = hashlib.sha256(json.dumps(asdict(self.settings), sort_keys=True).encode())
        digest.update(json.dumps(self.samples.names).encode() + self.samples.seconds.tobytes())
        return digest.hexdigest()

    def keep(self, path: Path) -> None:
        """Write the state by atomic rename."""
        content = {
            "identity": self._identity(), "network": self.network.state_dict(), "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(), "best_weights": self.best_weights, "epoch": self.epoch,
            "stale": self.stale, "best": self.best, "steps": self.steps, "curves": [asdict(c) for c in self.curves],
        }  # fmt: skip
        with atomic_path(path) as temporary:
            torch.save(content, temporary)

    def resume(self, path: Path | None) -> None:
        """Continue from a saved state, if there is one."""
        if path is None or not path.exists():
            return
        try:
            content = torch.load(path, map_location=self.settings.device, weights_only=True)
        except (RuntimeError, ValueError, EOFError, OSError, pickle.UnpicklingError) as error:
            raise MemoptError(f"{path}: is a damaged training state: delete it to start again") from error
        if content["identity"] != self._identity():
            raise MemoptError(f"{path}: is a training state for other data or settings: delete it to start again")
        self.network.load_state_dict(content["network"])
        self.average.load_state_dict(content["average"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.best_weights = content["best_weights"]
        self.epoch, self.stale = int(content["epoch"]), int(content["stale"])
        self.best, self.steps = float(content["best"]), int(content["steps"])
        self.curves = [Curve(**entry) for entry in content["curves"]]


def _card(trained: Trained, samples: Samples, settings: Settings, split: dict[str, np.ndarray], run: _Run) -> Card:
    metrics = {
        part: evaluate(trained, samples, samples.of_programs(split[part])).document()
        for part in ("valid", "test")
        if len(split[part])
    }
    return {
        "settings": asdict(settings),
        "programs": {part: len(numbers) for part, numbers in split.items()},
        "candidates": {part: len(samples.of_programs(numbers)) for part, numbers in split.items()},
        "parameters": sum(values.numel() for values in trained.network.parameters()),
        "epochs": run.epoch,
        "metrics": metrics,
        "curves": [asdict(curve) for curve in run.curves],
    }

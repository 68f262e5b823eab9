"""A network that keeps learning while a tuner measures: one object for all programs of a search."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch

from tvm_memopt.cost_model.features.extract import Graphs, join
from tvm_memopt.cost_model.network.epochs import descend
from tvm_memopt.cost_model.network.gcn import Architecture, GraphNetwork
from tvm_memopt.cost_model.network.losses import ranking_loss, relative_error_loss
from tvm_memopt.cost_model.network.normalization import fit_normalization, prepare
from tvm_memopt.cost_model.network.predictor import Trained
from tvm_memopt.cost_model.network.training import calibrate


@dataclass(frozen=True)
class OnlineSettings:
    """Settings of online learning.

    ``steps``: gradient steps after each round, on ``batch`` candidates each, half of them from the newest program.
    ``cold_steps``: the same without a pre-trained network. ``cold_samples``: measured candidates required before an
    untrained network's predictions are used. ``anchor``: pull towards the pre-trained weights. ``emphasis``,
    ``ranking``: as in training.Settings.
    """

    steps: int = 30
    cold_steps: int = 80
    cold_samples: int = 16
    batch: int = 64
    learning_rate: float = 5e-4
    cold_learning_rate: float = 2e-3
    anchor: float = 1e-3
    emphasis: float = 1.0
    ranking: float = 1.0


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one torch thread. With small batches, more threads would busy-wait and disturb the timing of candidates."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


_FAILED = 10.0  # a failed candidate is ranked as if it took this many times as long as the slowest


@dataclass
class _Measured:
    """Candidates of one program and their times. Failures have an infinite time."""

    graphs: list[Graphs] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def known(self) -> list[float]:
        """Measured times, failures left out."""
        return [seconds for seconds in self.seconds if np.isfinite(seconds)]


class OnlineLearner:
    """Predictions of relative speed that are updated with each measurement.

    ``trained``: the network to start from. None: a new one, made from the first measurements.
    """

    def __init__(
        self, trained: Trained | None, seed: int = 0, settings: OnlineSettings | None = None, target: str = "{}"
    ) -> None:
        self.settings, self.target = settings or OnlineSettings(), target
        self.seed, self.rng = seed, np.random.default_rng(seed)
        self.trained, self.pretrained = trained, trained is not None
        self.anchor = None if trained is None else copy.deepcopy(trained.network.state_dict())
        self.measured: dict[str, _Measured] = {}
        self._fitted = 0  # candidates used to fit the normalisation after a cold start

    @property
    def count(self) -> int:
        """Number of measured candidates that the network has learned from."""
        return sum(len(entry.known) for entry in self.measured.values())

    def predict(self, program: str, graphs: Graphs) -> np.ndarray:
        """Predict positive scores, float64 [graphs], of compressed ``graphs``.

        A score is about 1 for a candidate as fast as the program's best so far, and 2 for one twice as fast. Scores of
        a network without pre-training are random until it has seen enough candidates.
        """
        if self.trained is None or (not self.pretrained and self.count < self.settings.cold_samples):
            return self.rng.uniform(0.01, 1.0, len(graphs))
        with _one_thread():
            seconds, score = self.trained.predict(graphs)
        known = self.measured.get(program)
        own = -np.log(seconds) * 0.5 + score * 0.5
        reference = max([own.max(), *(-np.log(known.known) if known is not None else ())])
        return np.asarray(np.exp(np.clip(own - reference, -60.0, 3.0)))

    def learn(self, program: str, graphs: Graphs, seconds: np.ndarray) -> None:
        """Learn from a round of measurements. ``graphs``: compressed; ``seconds``: infinite for failed candidates."""
        if len(seconds) == 0:
            return
        entry = self.measured.setdefault(program, _Measured())
        entry.graphs.append(graphs)
        entry.seconds += [float(s) for s in seconds]
        if not entry.known:
            return
        with _one_thread(), torch.random.fork_rng(devices=[]):  # seeded; the caller's generator is unaffected
            torch.manual_seed(self.seed * 100_003 + self.count)
            if not self.pretrained:
                self._start_anew()
            self._descend(program)

    def _start_anew(self) -> None:
        """Without pre-training, create the network from the first data, and fit its normalisation again each time the
        data has doubled."""
        if self.trained is not None and self.count < 2 * self._fitted:
            return
        graphs, seconds, _ = self._all()
        known = np.flatnonzero(np.isfinite(seconds))
        normalization = fit_normalization(graphs)
        network = GraphNetwork(Architecture()) if self.trained is None else self.trained.network
        if self.trained is None:
            calibrate(network, prepare(graphs, normalization), seconds, known)
        self.trained = Trained(network, normalization, self.target, {})
        self._fitted = self.count

    def _all(self) -> tuple[Graphs, np.ndarray, np.ndarray]:
        """All graphs of programs with measured times, their seconds, and the index of each one's program."""
        entries = {number: entry for number, entry in enumerate(self.measured.values()) if entry.known}
        graphs = join([part for entry in entries.values() for part in entry.graphs])
        seconds = np.array([s for entry in entries.values() for s in entry.seconds])
        program = np.repeat(list(entries), [len(entry.seconds) for entry in entries.values()])
        return graphs, seconds, program

    def _descend(self, newest: str) -> None:
        """Take some gradient steps. Half of each batch is from the newest program, half from all programs."""
        assert self.trained is not None
        graphs, seconds, program = self._all()
        ends = [(min(entry.known, default=0.0), max(entry.known, default=0.0)) for entry in self.measured.values()]
        fastest, slowest = (np.array(values)[program] for values in zip(*ends, strict=True))
        timed = np.isfinite(seconds)
        seconds = np.where(timed, seconds, _FAILED * slowest)
        prepared = prepare(graphs, self.trained.normalization)
        own = np.flatnonzero(program == list(self.measured).index(newest))
        settings, network = self.settings, self.trained.network
        rate = settings.learning_rate if self.pretrained else settings.cold_learning_rate
        optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.0)
        network.train()
        for _ in range(settings.steps if self.pretrained else settings.cold_steps):
            wanted = np.concatenate([
                self.rng.permutation(own)[: settings.batch // 2],
                self.rng.permutation(len(seconds))[: settings.batch // 2],
            ])  # fmt: skip
            predicted, score = network(prepared.batch(wanted))
            truth = torch.from_numpy(seconds[wanted]).float()
            best = torch.from_numpy(fastest[wanted]).float()
            loss = settings.ranking * ranking_loss(score, truth, torch.from_numpy(program[wanted]))
            right = torch.from_numpy(timed[wanted])
            if right.any():
                predicted, truth, best = predicted[right], truth[right], best[right]
                loss = loss + relative_error_loss(predicted, truth, best, torch.zeros_like(truth), settings.emphasis)
            if self.anchor is not None:
                loss = loss + settings.anchor * sum(
                    ((value - self.anchor[name]) ** 2).sum() for name, value in network.named_parameters()
                )
            descend(network, optimizer, loss)
        network.eval()

"""Fine-tuning of level 1 on the kernels of measured models, before level 2 is trained."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from tvm_memopt.cost_model.data.model_calls import NetworkSample
from tvm_memopt.cost_model.features.extract import Graphs, join
from tvm_memopt.cost_model.network.epochs import descend, train_keeping_best
from tvm_memopt.cost_model.network.losses import relative_error_loss
from tvm_memopt.cost_model.network.normalization import Prepared, prepare
from tvm_memopt.cost_model.network.predictor import Trained
from tvm_memopt.errors import MemoptError

_BATCH = 64
_RATE = 5e-4


def adapted(
    level1: Trained, samples: Sequence[NetworkSample], valid: Sequence[NetworkSample] = (), epochs: int = 40,
    seed: int = 0,
) -> Trained:  # fmt: skip
    """Train a copy of ``level1`` on the kernels of ``samples``. A kernel's time is the median over its calls.

    ``valid``: samples that decide which epoch is kept, or the initial network; without them the last epoch is kept.
    Raises MemoptError if no call was measured.
    """
    graphs, seconds = _kernels(samples)
    prepared = prepare(graphs, level1.normalization)
    measured = [sample for sample in valid if np.isfinite(sample.calls.seconds).any()]
    held_out = _kernels(measured) if measured else None
    network = copy.deepcopy(level1.network)
    found = Trained(network, level1.normalization, level1.target, level1.card)
    optimizer = torch.optim.AdamW(network.parameters(), _RATE, weight_decay=1e-2)
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)

    def train() -> None:
        order = rng.permutation(len(seconds))
        for wanted in np.array_split(order, max(1, round(len(order) / _BATCH))):
            predicted, _ = network(prepared.batch(wanted))
            truth = torch.from_numpy(seconds[wanted]).float()
            descend(network, optimizer, relative_error_loss(predicted, truth, truth, torch.zeros_like(truth)))

    judge = None
    if held_out is not None:
        judge = partial(_error, found, prepare(held_out[0], level1.normalization), held_out[1])
    train_keeping_best(network, epochs, train, judge, untouched=True)
    return found


def _kernels(samples: Sequence[NetworkSample]) -> tuple[Graphs, np.ndarray]:
    """All measured kernels, and their seconds."""
    graphs, seconds = [], []
    for sample in samples:
        times = [sample.calls.seconds[sample.calls.kernels == number] for number in range(len(sample.calls.names))]
        medians = np.array([np.nanmedian(part) if np.isfinite(part).any() else np.nan for part in times])
        known = np.flatnonzero(np.isfinite(medians))
        graphs.append(sample.graphs.select(known))
        seconds.append(np.maximum(medians[known], 1e-7))
    if not sum(map(len, seconds)):
        raise MemoptError("there is no measured kernel to train on")
    return join(graphs), np.concatenate(seconds)


def _error(trained: Trained, prepared: Prepared, seconds: np.ndarray) -> float:
    """Mean absolute error of ln seconds, so that halving and doubling count alike."""
    return float(np.abs(np.log(trained.predict_prepared(prepared)[0] / seconds)).mean())

"""What the trainings of small networks have in common."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn


def descend(network: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, norm: float = 1.0) -> None:
    """One step along the gradient of ``loss``, cut to a length of ``norm``."""
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), norm)
    optimizer.step()


def train_keeping_best(
    network: nn.Module, epochs: int, train: Callable[[], None], judge: Callable[[], float] | None,
    untouched: bool = False,
) -> None:  # fmt: skip
    """Call ``train`` once an epoch, and leave ``network`` with the weights that ``judge`` gave the least number.

    ``judge``: None: the last epoch's; ``untouched``: the weights at the start may win too.
    """
    network.eval()
    best = judge() if judge is not None and untouched else float("inf")
    kept = copy.deepcopy(network.state_dict())
    for _ in range(epochs):
        network.train()
        train()
        network.eval()
        if judge is not None and (found := judge()) < best:
            best, kept = found, copy.deepcopy(network.state_dict())
    if judge is not None:
        network.load_state_dict(kept)

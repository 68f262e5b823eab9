"""Training helpers shared by the small networks."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn


def descend(network: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, norm: float = 1.0) -> None:
    """Take one step along the gradient of ``loss``, clipped to a norm of ``norm``."""
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), norm)
    optimizer.step()


def train_keeping_best(
    network: nn.Module, epochs: int, train: Callable[[], None], judge: Callable[[], float] | None,
    untouched: bool = False,
) -> None:  # fmt: skip
    """Call ``train`` once per epoch, and leave ``network`` with the weights for which ``judge`` returned least.

    ``judge``: None keeps the weights of the last epoch. ``untouched``: the initial weights are candidates too.
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

"""What the network is trained on."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_STEEP = 1.5  # deviations of ln seconds above which the relative error, which grows as e^d, goes on as a line
_NOISE = 0.01  # least spread of repeats that is believed


def trust(spread: Tensor) -> Tensor:
    """β: 1 / (spread of the repeats), the least spread being 1 %, scaled to at most 1."""
    return _NOISE / spread.clamp(min=_NOISE)


def relative_error_loss(
    predicted: Tensor, seconds: Tensor, fastest: Tensor, spread: Tensor, emphasis: float = 1.0
) -> Tensor:
    """Mean of ξ·α·β over candidates, the paper's loss (see gcn.py for the paper).

    ξ = |ŷ/y − 1|, continued as a line above ŷ/y = e^1.5; α = (y_fastest / y)^emphasis, with emphasis 1 as in the paper;
    β = trust. ``predicted``: ln ŷ; ``seconds``: y; ``fastest``: least y of the program; all [candidates].
    """
    distance = predicted - torch.log(seconds)
    below = distance.clamp(max=_STEEP)
    error = torch.abs(torch.expm1(below)) + (distance - below) * torch.exp(torch.tensor(_STEEP))
    weight = (fastest / seconds) ** emphasis * trust(spread)
    return (error * weight).sum() / weight.sum()


def ranking_loss(score: Tensor, seconds: Tensor, program: Tensor) -> Tensor:
    """Mean over pairs of one program of w·ln(1 + exp(−(s_i − s_j))), where i is faster and w = min(|ln y_j/y_i|, 1).

    A pair that is as good as equal counts little. ``score``, ``seconds``: [candidates]; ``program``: int64.
    """
    logarithm = torch.log(seconds)
    gap = logarithm[None, :] - logarithm[:, None]
    pairs = (program[:, None] == program[None, :]) & (gap > 0)
    weight = gap[pairs].clamp(max=1.0)
    if weight.numel() == 0:
        return score.sum() * 0.0
    difference = (score[:, None] - score[None, :])[pairs]
    return (weight * functional.softplus(-difference)).sum() / weight.sum()

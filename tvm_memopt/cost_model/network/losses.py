"""What the network is trained on."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# Where the relative error, as a function of ln ŷ/y, goes on as a line: above, since it grows as e^d, and below, since
# it is nearly flat there: what is far too small would not be pulled up.
_STEEP, _FLAT = 1.5, -0.7
_NOISE = 0.01  # least spread of repeats that is believed


def trust(spread: Tensor) -> Tensor:
    """β: 1 / (spread of the repeats), the least spread being 1 %, scaled to at most 1."""
    return _NOISE / spread.clamp(min=_NOISE)


def relative_error_loss(
    predicted: Tensor, seconds: Tensor, fastest: Tensor, spread: Tensor, emphasis: float = 1.0
) -> Tensor:
    """Mean of ξ·α·β over candidates, the paper's loss (see gcn.py for the paper).

    ξ = |ŷ/y − 1|, continued as lines in ln ŷ/y outside of −0.7 to 1.5; α = (y_fastest / y)^emphasis, in the paper with
    emphasis 1; β = trust. ``predicted``: ln ŷ; ``seconds``: y; ``fastest``: least y of the program; all [candidates].
    """
    distance = predicted - torch.log(seconds)
    inside = distance.clamp(_FLAT, _STEEP)
    error = torch.abs(torch.expm1(inside)) + torch.abs(distance - inside) * torch.exp(inside)
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

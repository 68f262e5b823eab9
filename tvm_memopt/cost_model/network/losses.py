"""Training losses."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# Bounds of d = ln ŷ/y outside of which the relative error continues as a straight line: above, because it grows as
# e^d; below, because it is nearly flat there and would give no gradient to predictions that are far too small.
_STEEP, _FLAT = 1.5, -0.7
_NOISE = 0.01  # smallest spread of repeats that is taken at face value


def trust(spread: Tensor) -> Tensor:
    """β: 1 / (spread of the repeats), with spreads below 1 % raised to 1 %, scaled to at most 1."""
    return _NOISE / spread.clamp(min=_NOISE)


def relative_error_loss(
    predicted: Tensor, seconds: Tensor, fastest: Tensor, spread: Tensor, emphasis: float = 1.0
) -> Tensor:
    """Mean of ξ·α·β over candidates, the loss of Singh et al. (reference in gcn.py).

    ξ = |ŷ/y − 1|, continued linearly in ln ŷ/y outside of −0.7 to 1.5. α = (y_fastest / y)^emphasis; the paper uses
    emphasis 1. β = trust(spread). ``predicted``: ln ŷ; ``seconds``: y; ``fastest``: least y of the program; all
    [candidates].
    """
    distance = predicted - torch.log(seconds)
    inside = distance.clamp(_FLAT, _STEEP)
    error = torch.abs(torch.expm1(inside)) + torch.abs(distance - inside) * torch.exp(inside)
    weight = (fastest / seconds) ** emphasis * trust(spread)
    return (error * weight).sum() / weight.sum()


def ranking_loss(score: Tensor, seconds: Tensor, program: Tensor) -> Tensor:
    """Mean of w·ln(1 + exp(−(s_i − s_j))) over pairs of one program, where i is faster and w = min(|ln y_j/y_i|, 1).

    Pairs with nearly equal times have little weight. ``score``, ``seconds``: [candidates]; ``program``: int64
    [candidates].
    """
    logarithm = torch.log(seconds)
    gap = logarithm[None, :] - logarithm[:, None]
    pairs = (program[:, None] == program[None, :]) & (gap > 0)
    weight = gap[pairs].clamp(max=1.0)
    if weight.numel() == 0:
        return score.sum() * 0.0
    difference = (score[:, None] - score[None, :])[pairs]
    return (weight * functional.softplus(-difference)).sum() / weight.sum()

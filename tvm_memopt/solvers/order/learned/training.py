"""Training: imitation of good orders, then policy gradient. It is resumable and deterministic for a given seed.

Imitation raises the log-probability of the decisions along the order found by the native search. Policy gradient draws
orders from the network's own policy: at each step it takes one of the ready ops by Plackett-Luce, the softmax of their
scores. It raises the log-probability of the decisions that did better than the mean of the draws on the same graph, so
no second network is needed as a baseline. Both penalise the squared scores, so that the policy does not become certain
too early (Jeon et al. 2023). A step depends only on the seed and its number, so an interrupted training continues as if
it had not been interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from tvm_memopt.solvers.native.order import learned as native
from tvm_memopt.solvers.native.order import profile
from tvm_memopt.solvers.native.order.learned import Policy
from tvm_memopt.solvers.order.learned.advantages import imitation_importance, step_importance
from tvm_memopt.solvers.order.learned.config import ModelConfig
from tvm_memopt.solvers.order.learned.examples import Example
from tvm_memopt.solvers.order.learned.features import LAPLACIAN_WIDTH
from tvm_memopt.solvers.order.learned.model import GraphTensors, Topoformer, arrays

_GRADIENT_LIMIT = 1.0


@dataclass(frozen=True)
class TrainingOptions:
    """``imitation_steps``, then ``steps`` of policy gradient, each on ``batch`` graphs with ``draws`` orders."""

    imitation_steps: int = 600
    steps: int = 3000
    batch: int = 4
    draws: int = 24
    imitation_rate: float = 1e-3
    rate: float = 4e-4
    logit_norm: float = 1e-3
    seed: int = 0

    @property
    def all_steps(self) -> int:
        """Number of steps of both kinds."""
        return self.imitation_steps + self.steps


@dataclass
class TrainingState:
    """``best``: weights of smallest validation gap. ``curves``: results of validations. ``seconds``: time spent."""

    model: Topoformer
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    best_gap: float = float("inf")
    best: dict[str, np.ndarray] = field(default_factory=dict)
    curves: list[dict[str, Any]] = field(default_factory=list)


def start(config: ModelConfig, options: TrainingOptions) -> TrainingState:
    """Create an untrained network, which depends only on the seed."""
    torch.manual_seed(options.seed)
    model = Topoformer(config)
    optimiser = torch.optim.Adam(model.parameters(), lr=options.imitation_rate)
    return TrainingState(model, optimiser, best=arrays(model))


def train(
    state: TrainingState,
    options: TrainingOptions,
    examples: Sequence[Example],
    *,
    until: int | None = None,
    report: Callable[[int, str, float], None] | None = None,
) -> None:
    """Train until step ``until`` (default: to the end). ``report(step, kind, figure)`` is called after each step.

    The figure is the mean negative log-probability of a decision while imitating, then the mean gap in percent between
    the draws' peaks and those of the examples.
    """
    last = options.all_steps if until is None else min(until, options.all_steps)
    while state.step < last:
        imitate = state.step < options.imitation_steps
        for group in state.optimiser.param_groups:
            group["lr"] = _rate(state.step, options)
        rng = np.random.default_rng((options.seed, state.step))
        chosen = rng.choice(len(examples), min(options.batch, len(examples)), replace=False)
        state.optimiser.zero_grad()
        learn = _imitate if imitate else _reinforce
        figures = [learn(state.model, examples[index], options, len(chosen), rng) for index in chosen.tolist()]
        torch.nn.utils.clip_grad_norm_(state.model.parameters(), _GRADIENT_LIMIT)
        state.optimiser.step()
        state.step += 1
        if report is not None:
            report(state.step, "imitation" if imitate else "policy gradient", float(np.mean(figures)))


def _rate(step: int, options: TrainingOptions) -> float:
    """Learning rate: constant, then falling to a twentieth along a cosine, in each of the two phases."""
    if step < options.imitation_steps:
        return options.imitation_rate * _cosine(step / options.imitation_steps)
    return options.rate * _cosine((step - options.imitation_steps) / max(1, options.steps))


def _cosine(share: float) -> float:
    return 0.05 + 0.95 * (1 + float(np.cos(np.pi * share))) / 2


def _scores(model: Topoformer, example: Example, rng: np.random.Generator) -> tuple[torch.Tensor, Policy]:
    """The network's output for an example, with random signs of the eigenvectors, and the policy in it."""
    features = example.features.copy()
    features[:, -LAPLACIAN_WIDTH:] *= rng.choice(np.array([-1, 1], np.float32), LAPLACIAN_WIDTH)
    output = model(GraphTensors(features, example.around, model.config.transforms))
    values = output.detach().numpy()
    return output, Policy(values[:, 0], values[:, 1:])


def _imitate(
    model: Topoformer, example: Example, options: TrainingOptions, share: int, rng: np.random.Generator
) -> float:
    output, policy = _scores(model, example, rng)
    held = profile(example.problem, example.order)[::-1]
    importance = imitation_importance(held)
    found = native.follow(
        example.problem, policy, example.order[None], limits=np.array([example.peak]), importance=importance[None]
    )
    decisions = max(1, int(found.decisions[0]))
    _descend(output, found, options, 1 / decisions, share)
    return -float(found.log_probabilities[0]) / decisions


def _reinforce(
    model: Topoformer, example: Example, options: TrainingOptions, share: int, rng: np.random.Generator
) -> float:
    output, policy = _scores(model, example, rng)
    seed = int(rng.integers(2**40))
    drawn = native.draw(example.problem, policy, options.draws, seed=seed, lower=False)
    importance = step_importance(drawn.held, drawn.peaks)
    found = native.follow(example.problem, policy, drawn.orders, importance=importance)
    decisions = max(1.0, float(found.decisions.mean()))
    _descend(output, found, options, 1 / np.sqrt(decisions), share)
    return 100 * (float(drawn.peaks.mean()) / example.peak - 1)


def _descend(
    output: torch.Tensor, found: native.Likelihood, options: TrainingOptions, scale: float, share: int
) -> None:
    """Accumulate the gradients of the loss, given its derivative by the output, and of the norm of the scores."""
    columns = [found.priority_gradient[:, None], found.weights_gradient.reshape(len(output), -1)]
    ascent = torch.from_numpy(np.concatenate(columns, axis=1))
    loss = -(output * ascent).sum() * scale + options.logit_norm * (output**2).sum(dim=1).mean()
    (loss / share).backward()

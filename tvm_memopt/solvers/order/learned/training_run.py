"""A training run: examples, training steps and periodic validation, with everything saved to disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tvm_memopt.graph import Graph, read_graph
from tvm_memopt.solvers.order.learned.checkpoint import read_checkpoint
from tvm_memopt.solvers.order.learned.config import ModelConfig
from tvm_memopt.solvers.order.learned.examples import Example, make_examples, training_graph, validation_graph
from tvm_memopt.solvers.order.learned.model import arrays
from tvm_memopt.solvers.order.learned.training import TrainingOptions, TrainingState, train
from tvm_memopt.solvers.order.learned.training_folder import CHECKPOINT, open_training, save_training
from tvm_memopt.solvers.order.learned.validation import validation_gaps

_VALIDATE_EVERY = 100  # steps
Watch = Callable[[str, int, int], None]


@dataclass(frozen=True)
class TrainingGraphs:
    """``layered`` graphs and ``files`` to train on, ``validation`` graphs, and the ``effort`` of the order search."""

    layered: int = 400
    files: tuple[str, ...] = ()
    validation: int = 15
    effort: float = 1.0

    def learned_from(self) -> Iterator[Graph]:
        """The training graphs."""
        yield from (read_graph(path) for path in self.files)
        yield from (training_graph(index) for index in range(self.layered))


def run_training(
    folder: Path,
    config: ModelConfig,
    options: TrainingOptions,
    graphs: TrainingGraphs,
    *,
    targets: Path | None = None,
    time_limit: float | None = None,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Continue the training in ``folder`` until it is done, time runs out or Ctrl-C. Returns a document of its state.

    ``targets``: folder of the orders to imitate; by default inside ``folder``.
    """
    ends = time.monotonic() + (float("inf") if time_limit is None else time_limit)
    purpose = repr(asdict(graphs))
    state = open_training(folder, config, options, purpose)
    interrupted = False
    try:
        examples, judged = _examples(targets or folder / "targets", graphs, watch)
        _run(folder, state, options, purpose, examples, judged, ends, watch)
    except KeyboardInterrupt:
        interrupted = True
    save_training(folder, state, options, purpose)
    return _document(folder, state, options, interrupted)


def _examples(targets: Path, graphs: TrainingGraphs, watch: Watch | None) -> tuple[list[Example], list[Example]]:
    total = graphs.layered + len(graphs.files) + graphs.validation
    before = 0

    def done(count: int) -> None:
        if watch is not None:
            watch("searching for orders to learn from", before + count, total)

    examples = make_examples(graphs.learned_from(), targets, effort=graphs.effort, watch=done)
    before = len(examples)
    judged = (validation_graph(index) for index in range(graphs.validation))
    return examples, make_examples(judged, targets, effort=graphs.effort, watch=done)


def _run(
    folder: Path,
    state: TrainingState,
    options: TrainingOptions,
    purpose: str,
    examples: list[Example],
    judged: list[Example],
    ends: float,
    watch: Watch | None,
) -> None:
    figures: list[float] = []
    kinds: list[str] = []

    def report(step: int, kind: str, figure: float) -> None:
        figures.append(figure)
        kinds.append(kind)
        if watch is not None:
            watch(kind, step, options.all_steps)

    while state.step < options.all_steps and time.monotonic() < ends:
        started = time.monotonic()
        figures.clear()
        kinds.clear()
        until = min(options.all_steps, (state.step // _VALIDATE_EVERY + 1) * _VALIDATE_EVERY)
        train(state, options, examples, until=until, report=report)
        _judge(state, judged, kinds[-1], float(np.mean(figures)))
        state.seconds += time.monotonic() - started
        save_training(folder, state, options, purpose)


def _judge(state: TrainingState, judged: list[Example], kind: str, figure: float) -> None:
    """Validate, and keep the weights if they are the best so far, by the mean of greedy and sampled gaps."""
    weights = arrays(state.model)
    greedy, sampled = validation_gaps(state.model.config, weights, judged)
    if (greedy + sampled) / 2 < state.best_gap:
        state.best_gap, state.best = (greedy + sampled) / 2, weights
    row = {"step": state.step, "part": kind, "figure": figure}
    state.curves.append({**row, "greedy_gap_percent": greedy, "sampled_gap_percent": sampled})


def _document(folder: Path, state: TrainingState, options: TrainingOptions, interrupted: bool) -> dict[str, Any]:
    return {
        "step": state.step,
        "all_steps": options.all_steps,
        "seconds": state.seconds,
        "validation_gap_percent": state.best_gap if state.curves else None,
        "checkpoint": str(folder / CHECKPOINT),
        "digest": read_checkpoint(folder / CHECKPOINT).digest,
        "interrupted": interrupted,
        "curves": state.curves,
    }

"""A training on disk: the state to resume from, its curves, and the best checkpoint so far."""

from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tvm_memopt.atomic import atomic_path, write_text_atomic
from tvm_memopt.errors import MemoptError
from tvm_memopt.solvers.order.learned.checkpoint import Checkpoint, write_checkpoint
from tvm_memopt.solvers.order.learned.config import ModelConfig
from tvm_memopt.solvers.order.learned.training import TrainingOptions, TrainingState, start

STATE, CURVES, CURVES_JSON, PLOT, CHECKPOINT = "state.pt", "curves.csv", "curves.json", "curves.png", "checkpoint.npz"


def open_training(folder: Path, config: ModelConfig, options: TrainingOptions, graphs: str) -> TrainingState:
    """Load the state to resume from, or create one if the folder has none.

    ``graphs`` identifies the training graphs. Raises MemoptError if the state is damaged or of another training.
    """
    file = folder / STATE
    state = start(config, options)
    if not file.exists():
        return state
    try:
        kept = torch.load(file, weights_only=True)
        purpose = kept["purpose"]
    except Exception as error:  # torch can raise any exception here
        raise MemoptError(f"{file}: training state is damaged: remove it to restart the training") from error
    if purpose != _purpose(config, options, graphs):
        raise MemoptError(f"{file}: belongs to a training with other options or graphs: name another folder")
    try:
        state.model.load_state_dict(kept["model"])
        state.optimiser.load_state_dict(kept["optimiser"])
        state.step, state.best_gap, state.seconds = int(kept["step"]), float(kept["best_gap"]), float(kept["seconds"])
        state.curves = json.loads(kept["curves"])
        state.best = {name: array.numpy() for name, array in kept["best"].items()}
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise MemoptError(f"{file}: training state is damaged: remove it to restart the training") from error
    return state


def save_training(folder: Path, state: TrainingState, options: TrainingOptions, graphs: str) -> None:
    """Write the state, the curves and the best checkpoint so far, each atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    config = state.model.config
    kept = {
        "purpose": _purpose(config, options, graphs),
        "model": state.model.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "step": state.step,
        "best_gap": state.best_gap,
        "seconds": state.seconds,
        "curves": json.dumps(state.curves),
        "best": {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in state.best.items()},
    }
    with atomic_path(folder / STATE) as temporary, temporary.open("wb") as file:
        torch.save(kept, file)
        file.flush()
        os.fsync(file.fileno())
    write_text_atomic(folder / CURVES_JSON, json.dumps(state.curves, indent=1))
    write_text_atomic(folder / CURVES, _csv(state.curves))
    _plot(folder / PLOT, state.curves)
    story = {
        "options": asdict(options),
        "graphs": graphs,
        "step": state.step,
        "hours": round(state.seconds / 3600, 3),
        "validation_gap_percent": state.best_gap,
    }
    write_checkpoint(folder / CHECKPOINT, Checkpoint(config, state.best, story))


def _purpose(config: ModelConfig, options: TrainingOptions, graphs: str) -> str:
    return json.dumps({"config": asdict(config), "options": asdict(options), "graphs": graphs}, sort_keys=True)


def _csv(curves: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    if curves:
        writer = csv.DictWriter(text, list(curves[0]))
        writer.writeheader()
        writer.writerows(curves)
    return text.getvalue()


def _plot(path: Path, curves: list[dict[str, Any]]) -> None:
    """Plot the validation gaps over the steps, if matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(6, 4))
    axes = figure.add_subplot()
    steps = [row["step"] for row in curves]
    for name in ("greedy_gap_percent", "sampled_gap_percent"):
        axes.plot(steps, [row[name] for row in curves], label=name.replace("_", " "))
    axes.set_xlabel("step")
    axes.set_ylabel("validation gap, percent")
    axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)

"""``tvm-memopt train-order --out DIR``: train a network that orders graphs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from tvm_memopt.cli.console import emit, note
from tvm_memopt.cli.files import check_output_folder
from tvm_memopt.cli.options import json_option
from tvm_memopt.errors import MemoptError


@click.command("train-order")
@click.option("--out", required=True, metavar="DIR", help="Folder of the training; an existing one is continued.")
@click.option(
    "--graphs", type=click.IntRange(0), default=400, show_default=True, metavar="N",
    help="Generated layered graphs of 250 to 1000 ops to train on.",
)  # fmt: skip
@click.option(
    "--graph", "files", multiple=True, metavar="FILE", help="Additional operator graph to train on. May be repeated."
)
@click.option(
    "--validation", type=click.IntRange(1), default=15, show_default=True, metavar="N", help="Validation graphs."
)
@click.option(
    "--imitation-steps", type=click.IntRange(0), default=300, show_default=True, metavar="N", help="Imitation steps."
)
@click.option("--steps", type=click.IntRange(0), default=3000, show_default=True, metavar="N", help="Policy gradient.")
@click.option("--time-limit", type=float, metavar="S", help="Seconds after which training pauses; it can be continued.")
@click.option(
    "--effort", type=float, default=1.0, show_default=True, metavar="X", help="Factor on the search for target orders."
)
@click.option("--without", multiple=True, type=click.Choice(["transforms", "encoding", "state"]), help="For ablation.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of weights, batches and draws.")
@json_option
def command(
    out: str, graphs: int, files: tuple[str, ...], validation: int, imitation_steps: int, steps: int,
    time_limit: float | None, effort: float, without: tuple[str, ...], seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Train a Topoformer: imitation of searched orders, then policy gradient. Keeps the best checkpoint in DIR.

    DIR gets checkpoint.npz, curves (CSV, JSON and, with matplotlib, PNG) and the training state; run the same command
    to continue. Runs on the CPU; needs torch (pip install 'tvm-memopt[learn]').

    \b
    Examples:
      tvm-memopt train-order --out training
      tvm-memopt train-order --out training --graph graph.json --steps 10000 --time-limit 3600
    """
    if not graphs and not files:
        raise MemoptError("there is nothing to train on: give --graphs N, --graph FILE or both")
    check_output_folder(out)
    try:
        import torch
    except ImportError as error:
        raise MemoptError("training needs torch: pip install 'tvm-memopt[learn]'") from error
    torch.set_num_threads(1)  # for reproducible sums
    from tvm_memopt.solvers.order.learned.config import ModelConfig
    from tvm_memopt.solvers.order.learned.training import TrainingOptions
    from tvm_memopt.solvers.order.learned.training_run import TrainingGraphs, run_training

    config = ModelConfig(**{name: name not in without for name in ("transforms", "encoding", "state")})
    options = TrainingOptions(imitation_steps=imitation_steps, steps=steps, seed=seed)
    chosen = TrainingGraphs(graphs, tuple(files), validation, effort)
    with _progress() as watch:
        result = run_training(Path(out), config, options, chosen, time_limit=time_limit, watch=watch)
    if result["interrupted"]:
        note("interrupted: the state is saved; run the same command to continue")
    emit(as_json, result, _text(out, result))


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None] | None]:
    """A progress bar for each stage, on a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        row = bar.add_task("preparing", total=None)

        def watch(stage: str, done: int, total: int) -> None:
            bar.update(row, completed=done, total=total, description=stage)

        yield watch


def _text(out: str, result: dict[str, Any]) -> str:
    gaps = "no validation yet"
    if result["curves"]:
        gaps = f"validation gap {result['validation_gap_percent']:.3f}% (best of greedy and sampled means)"
    return (
        f"{out}: step {result['step']:,} of {result['all_steps']:,}, {result['seconds']:.0f} s in all, {gaps}\n"
        f"checkpoint {result['checkpoint']}, sha256 {result['digest'][:16]}"
    )

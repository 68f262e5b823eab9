"""``tvm-memopt train-cost-model DATA -o FILE``: train the graph network on collected measurements."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvm_memopt.atomic import write_text_atomic
from tvm_memopt.cli.console import emit, note
from tvm_memopt.cli.files import check_output
from tvm_memopt.cli.options import json_option
from tvm_memopt.errors import MemoptError

if TYPE_CHECKING:
    from tvm_memopt.cost_model.network.card import Card
    from tvm_memopt.cost_model.network.training import Curve, Settings

_NAMES = {
    "mean_error": "mean error", "median_error": "median error", "r2": "R2 of log time", "pairwise": "pairwise",
    "top1": "top-1", "top5": "top-5",
}  # fmt: skip


@click.command("train-cost-model")
@click.argument("data", nargs=-1, required=True, metavar="DATA...")
@click.option("-o", "--output", required=True, metavar="FILE.npz", help="Where to write the checkpoint.")
@click.option("--epochs", type=click.IntRange(1), default=60, show_default=True, metavar="N", help="Maximum epochs.")
@click.option(
    "--patience", type=click.IntRange(1), default=12, show_default=True, metavar="N",
    help="Epochs without a better held-out loss after which training stops.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of weights and batches.")
@click.option(
    "--test-share", type=click.FloatRange(0, 0.8), default=0.2, show_default=True, metavar="X",
    help="Share of the programs held out for the metrics on the card.",
)  # fmt: skip
@click.option("--edges", type=click.Choice(["full", "values", "none"]), default="full", show_default=True,
              help="Edge variant; all but full are for ablation.")  # fmt: skip
@click.option("--width", type=click.IntRange(2), default=64, show_default=True, metavar="N", help="Statement width.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, metavar="N", help="Graph convolutions.")
@click.option("--device", default="cpu", show_default=True, metavar="D", help="torch device: cpu or cuda.")
@click.option("--curves", metavar="FILE", help="Also write the losses and metrics of each epoch, as JSON.")
@click.option("--card", metavar="FILE.md", help="Also write a model card with settings and metrics, as Markdown.")
@json_option
def command(
    data: tuple[str, ...], output: str, curves: str | None, card: str | None, as_json: bool, **choices: Any
) -> None:  # fmt: skip
    """Train the cost model on folders of 'tvm-memopt collect'. It predicts times for the machine of the first folder.

    A tenth of the programs is held out for early stopping, and --test-share of them for the metrics on the card. Ctrl-C
    saves the state next to FILE; run the same command to continue.

    \b
    Examples:
      tvm-memopt train-cost-model data -o gcn.npz
      tvm-memopt train-cost-model data more -o gcn.npz --device cuda --curves curves.json
    """
    check_output(output)
    if not output.endswith(".npz"):
        raise MemoptError(f"{output}: a checkpoint is a numpy archive, expected a name that ends in .npz")
    for extra in filter(None, (curves, card)):
        check_output(extra)
        if Path(extra).absolute() == Path(output).absolute():
            raise MemoptError(f"{extra}: is already the checkpoint; name another file")
    from tvm_memopt.cost_model.data.samples import load_samples
    from tvm_memopt.cost_model.features.columns import FEATURE_VERSION
    from tvm_memopt.cost_model.network.card import card_text

    samples, target = load_samples([Path(folder) for folder in data])
    for scale in samples.scales[1:]:
        told = f"estimated from {scale.shared} candidates shared with an earlier folder"
        if not scale.shared:
            told = "since it shares no candidate with an earlier folder; collect some programs in both to estimate it"
        note(f"{scale.folder}: times are multiplied by {scale.factor:.3f}, {told}")
    try:
        from tvm_memopt.cost_model.network.checkpoint import save_checkpoint
        from tvm_memopt.cost_model.network.training import train
    except ModuleNotFoundError as error:
        raise MemoptError(f"training needs {error.name}: pip install 'tvm-memopt[learn]'") from error
    state = Path(f"{output}.state")
    try:
        trained = train(samples, target, _settings(_Choices(**choices)), state, _show)
    except KeyboardInterrupt:
        note(f"interrupted: progress is saved in {state}; run the same command to continue")
        raise
    save_checkpoint(Path(output), trained.checkpoint())
    if curves is not None:
        write_text_atomic(curves, json.dumps(trained.card["curves"], indent=1) + "\n")
    if card is not None:
        line = shlex.join(["tvm-memopt", *sys.argv[1:]])
        write_text_atomic(card, card_text(trained.card, target, FEATURE_VERSION, line))
    emit(as_json, {"checkpoint": output, **trained.card}, _text(output, trained.card))


@dataclass(frozen=True)
class _Choices:
    """The options that determine the training settings."""

    epochs: int
    patience: int
    seed: int
    test_share: float
    edges: str
    width: int
    rounds: int
    device: str


def _settings(choices: _Choices) -> Settings:
    import torch

    from tvm_memopt.cost_model.network.gcn import Architecture
    from tvm_memopt.cost_model.network.training import Settings

    try:
        torch.zeros(1, device=choices.device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).strip().splitlines()[0]
        raise MemoptError(f"device {choices.device!r} cannot be used ({first}): expected cpu or cuda") from error
    shape = Architecture(choices.width, max(choices.width // 2, 1), choices.rounds, choices.edges)
    share = choices.test_share
    return Settings(
        seed=choices.seed, epochs=choices.epochs, patience=choices.patience, device=choices.device,
        shares=(0.9 - share, 0.1), architecture=shape,
    )  # fmt: skip


def _show(curve: Curve, best: float) -> None:
    metrics = curve.metrics
    note(
        f"epoch {curve.epoch}: loss {curve.train:.4f}, held-out {curve.valid:.4f} (best {best:.4f}), "
        f"median error {metrics['median_error']:.1%}, pairwise {metrics['pairwise']:.3f}"
    )


def _text(output: str, card: Card) -> str:
    programs, candidates = card["programs"], card["candidates"]
    lines = [
        f"{output}: {card['parameters']:,} parameters, {card['epochs']} epochs, trained on {candidates['train']:,} "
        f"candidates of {programs['train']:,} programs"
    ]
    for part, metrics in card["metrics"].items():
        figures = ", ".join(f"{label} {metrics[name]:.3f}" for name, label in _NAMES.items())
        lines.append(f"{part}, {programs[part]:,} other programs: {figures}")
    return "\n".join(lines)

"""The model card of a checkpoint: how it was trained and its metrics on held-out programs."""

from __future__ import annotations

from typing import Any, TypedDict

_COLUMNS = {
    "mean_error": "mean relative error", "median_error": "median relative error", "r2": "R² of log time",
    "pairwise": "pairwise accuracy", "top1": "top-1", "top5": "top-5",
}  # fmt: skip


class Card(TypedDict, total=False):
    """How a network was trained, and its results, as a JSON object.

    ``programs``, ``candidates``: counts by part. ``metrics``: by part. ``settings``: fields of training.Settings.
    ``curves``: a training.Curve for each epoch.
    """

    settings: dict[str, Any]
    programs: dict[str, int]
    candidates: dict[str, int]
    parameters: int
    epochs: int
    metrics: dict[str, dict[str, float]]
    curves: list[dict[str, object]]


def card_text(card: Card, target: str, feature_version: int, command: str) -> str:
    """Format the card that training.train makes as Markdown. ``command``: the command that made the checkpoint."""
    programs, candidates, settings = card["programs"], card["candidates"], card["settings"]
    shape = settings["architecture"]
    lines = [
        "# Card of the performance model",
        "",
        f"Made by `{command}`.",
        "",
        f"- Target: `{target}`; times are CPU seconds of one kernel thread.",
        f"- Network: {card['parameters']:,} parameters, {shape['rounds']} graph convolutions, statements "
        f"{shape['width']} wide, edges: {shape['edges']}; feature version {feature_version}.",
        f"- Data: {candidates['train']:,} candidates of {programs['train']} programs to train on, "
        f"{candidates['valid']:,} of {programs['valid']} to stop by, {candidates.get('test', 0):,} of "
        f"{programs.get('test', 0)} to test on. No program is in two parts.",
        f"- Training: {card['epochs']} epochs of at most {settings['epochs']}, seed {settings['seed']}.",
        "- For: ranking schedules and estimating their time on processors like that target. Not for: other targets, "
        "GPUs, kernels in several threads.",
        "",
        "| programs | " + " | ".join(_COLUMNS.values()) + " |",
        "| --- |" + " --- |" * len(_COLUMNS),
    ]
    for part, metrics in card["metrics"].items():
        lines.append(f"| {part} | " + " | ".join(f"{metrics[name]:.3f}" for name in _COLUMNS) + " |")
    return "\n".join(lines) + "\n"

"""Tables of ``benchmarks.auto_scheduler``: searches with two cost models in pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.paired import sign_test, wilcoxon
from benchmarks.tables import geometric_mean, table


def render(document: Mapping[str, Any]) -> str:
    """Each pair, each case, what the models cost, and what follows."""
    found = document["pairs"]
    if not found:
        return "no pair is complete"
    rows = [
        (pair["case"], pair["seed"], pair["gcn"] * 1e6, pair["xgb"] * 1e6, pair["gcn"] / pair["xgb"]) for pair in found
    ]
    header = ("gcn us", "xgb us", "gcn / xgb")
    return "\n\n".join([
        table(("case", "seed", *header), rows),
        table(("case", "seeds", *header), _by_case(found)),
        _models(document["runs"]),
        _conclusion([row[4] for row in rows], document["runs"]),
    ])  # fmt: skip


def _by_case(found: list[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    rows = []
    for case in dict.fromkeys(pair["case"] for pair in found):
        own = [pair for pair in found if pair["case"] == case]
        ours, theirs = (geometric_mean(pair[model] * 1e6 for pair in own) for model in ("gcn", "xgb"))
        rows.append((case, len(own), ours, theirs, ours / theirs))
    return rows


def _models(runs: Mapping[str, Mapping[str, Any]]) -> str:
    """Seconds a round in predictions and updates. Updates are one fewer than rounds: none follows the last."""
    rows = []
    for model in ("gcn", "xgb"):
        own = [run for key, run in runs.items() if key.rsplit("/", 2)[1] == model]
        rounds, updates = sum(run["rounds"] for run in own), sum(run["rounds"] - 1 for run in own)
        predict, states = sum(run["predict_seconds"] for run in own), sum(run["predicted"] for run in own)
        update, wall = sum(run["update_seconds"] for run in own), sum(run["wall"] for run in own)
        row = (predict / rounds, states // rounds, predict / states * 1e3, update / max(1, updates), wall / len(own))
        rows.append((model, len(own), *row))
    header = ("predict s a round", "states a round", "ms a state", "update s", "search s")
    return table(("model", "searches", *header), rows)


def _conclusion(ratios: list[float], runs: Mapping[str, Mapping[str, Any]]) -> str:
    checks = [check for run in runs.values() for check in run["checks"]]
    failed = sum(seconds is None for run in runs.values() for seconds in run["seconds"])
    differences = [ratio - 1 for ratio in ratios]
    better, worse, p = sign_test(differences)
    return (
        f"{len(ratios)} pairs: gcn / xgb: geometric mean {geometric_mean(ratios):.3f}, better in {better}, worse in "
        f"{worse} (sign test p {p:.4f}, Wilcoxon p {wilcoxon(differences):.4f})\n{len(checks)} records that ran: "
        f"{checks.count('right')} right, {checks.count('wrong')} wrong, {checks.count('crashed')} crashed, against an "
        f"unoptimised build; {failed} more did not run"
    )

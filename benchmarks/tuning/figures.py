"""Tables of ``benchmarks.tuning.run``: paired comparison of searches with two cost models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from statistics import median
from typing import Any

from benchmarks.paired import sign_test, wilcoxon
from benchmarks.tables import geometric_mean, table

Curve = Sequence[tuple[int, float, float, float]]
"""After each round: candidates measured, wall-clock seconds, CPU seconds of the search, best seconds so far."""


@dataclass(frozen=True)
class Pair:
    """Two searches of one task with one seed."""

    task: str
    seed: int
    ours: Curve
    theirs: Curve

    @property
    def microseconds(self) -> tuple[float, float]:
        """Final times."""
        return self.ours[-1][3] * 1e6, self.theirs[-1][3] * 1e6

    @property
    def ratio(self) -> float:
        """Final times, ours over theirs."""
        return self.ours[-1][3] / self.theirs[-1][3]

    def reached(self, column: int) -> float:
        """Share of their candidates (column 0) or wall-clock seconds (1) after which we had their final time; inf:
        never."""
        final = self.theirs[-1][3]
        needed = next((entry[column] for entry in self.ours if entry[3] <= final), inf)
        return needed / self.theirs[-1][column]

    def ratio_after(self, column: int, limit: float) -> float | None:
        """Best times within ``limit`` candidates or seconds, ours over theirs; None: before either's first round."""
        ours, theirs = best_within(self.ours, column, limit), best_within(self.theirs, column, limit)
        return None if ours is None or theirs is None else ours / theirs


def best_within(curve: Curve, column: int, limit: float) -> float | None:
    """Seconds of the best within ``limit`` candidates (column 0) or wall-clock seconds (1); None: no round ended."""
    return min((entry[3] for entry in curve if entry[column] <= limit), default=None)


def pairs(runs: Mapping[str, Mapping[str, Any]], first: str, other: str) -> list[Pair]:
    """The pairs that are there; keys are TASK/MODEL/SEED."""
    found = []
    for key, run in runs.items():
        task, model, seed = key.rsplit("/", 2)
        rival = runs.get(f"{task}/{other}/{seed}")
        if model == first and rival is not None:
            found.append(Pair(task, int(seed), run["curve"], rival["curve"]))
    return sorted(found, key=lambda pair: (pair.task, pair.seed))


def render(document: Mapping[str, Any], models: Sequence[str]) -> str:
    """Each pair, each task, the way there, and what follows; the first model beside each other one."""
    runs, trials, first = document["runs"], document["trials"], models[0]
    return "\n\n".join(_beside(pairs(runs, first, other), first, other, trials) for other in models[1:])


def _beside(found: list[Pair], first: str, other: str, trials: int) -> str:
    if not found:
        return f"no pair of {first} and {other} is complete"
    names = (f"{first} us", f"{other} us", f"{first} / {other}", "trials to reach", "wall to reach")
    rows = [
        (pair.task, pair.seed, *pair.microseconds, pair.ratio, _share(pair.reached(0)), _share(pair.reached(1)))
        for pair in found
    ]
    return "\n\n".join([
        table(("task", "seed", *names), rows),
        table(("task", "seeds", *names), _by_task(found)),
        _way(found, f"{first} / {other}", other, trials),
        _conclusion(found, first, other),
    ])  # fmt: skip


def _by_task(found: list[Pair]) -> list[tuple[Any, ...]]:
    """Geometric means of times, medians of shares."""
    rows = []
    for task in dict.fromkeys(pair.task for pair in found):
        own = [pair for pair in found if pair.task == task]
        ours, theirs = (geometric_mean(pair.microseconds[side] for pair in own) for side in (0, 1))
        reached = [_share(median(pair.reached(column) for pair in own)) for column in (0, 1)]
        rows.append((task, len(own), ours, theirs, ours / theirs, *reached))
    return rows


def _way(found: list[Pair], label: str, other: str, trials: int) -> str:
    """Ratios of the best times so far, at equal numbers of candidates and at equal wall-clock time."""
    rows = []
    for share in (0.125, 0.25, 0.5, 1.0):
        cells: list[Any] = [f"{share:.1%}"]
        for column in (0, 1):
            limits = [share * (trials if column == 0 else pair.theirs[-1][1]) for pair in found]
            ratios = [pair.ratio_after(column, limit) for pair, limit in zip(found, limits, strict=True)]
            known = [ratio for ratio in ratios if ratio is not None]
            wins = f"{sum(ratio < 1 for ratio in known)} of {len(known)}"
            cells += [geometric_mean(known) if known else None, wins]
        rows.append(cells)
    return table(("after", f"of the trials: {label}", "better in", f"of {other}'s time: {label}", "better in"), rows)


def _conclusion(found: list[Pair], first: str, other: str) -> str:
    ratios = [pair.ratio for pair in found]
    differences = [ratio - 1 for ratio in ratios]
    better, worse, p = sign_test(differences)
    by_task = [row[4] for row in _by_task(found)]
    reached = [pair.reached(0) for pair in found]
    return (
        f"{len(found)} pairs: {first} / {other}: geometric mean {geometric_mean(ratios):.3f}, better in {better}, "
        f"worse in {worse} (sign test p {p:.4f}, Wilcoxon p {wilcoxon(differences):.4f}); by task better on "
        f"{sum(ratio < 1 for ratio in by_task)} of {len(by_task)}\n{other}'s final time was reached in "
        f"{sum(share < inf for share in reached)} of {len(found)}, after {_share(median(reached))} of its candidates "
        "in the median of all"
    )


def _share(value: float) -> str:
    return f"{value:.3f}" if value < inf else "never"

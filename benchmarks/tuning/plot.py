"""Plots of the best time so far over candidates and over wall-clock time, for all pairs of searches."""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import inf
from statistics import median
from typing import Any

from benchmarks.tuning.figures import Curve, Pair, best_within, pairs
from tvm_memopt.report.chart import STYLE, chart_format, load_matplotlib, save_figure

_COLOURS = ("#2b6cb0", "#c05621")
_POINTS = 64


def write_curves(document: Mapping[str, Any], first: str, other: str, path: str | os.PathLike[str]) -> None:
    """Draw the searches of ``benchmarks.tuning.run`` into a ``.svg`` or ``.png`` file, by atomic rename: medians of the
    best time so far over the other model's final time, a search that has measured nothing yet being last.

    Raises MemoptError for another extension or when matplotlib is absent.
    """
    chart_format(path)
    found = pairs(document["runs"], first, other)
    with load_matplotlib().rc_context(STYLE):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7.2, 2.9), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        labels = (f"candidates, of {document['trials']}", f"wall-clock time, of {other}'s")
        for column, (axes, label) in enumerate(zip(panels, labels, strict=True)):
            for name, side, colour in zip((first, other), ("ours", "theirs"), _COLOURS, strict=True):
                shares, values = _line(found, side, column, document["trials"])
                axes.plot(shares, values, drawstyle="steps-post", color=colour, linewidth=1.6, label=name)
            axes.axhline(1.0, color="#8a8a8a", linestyle="--", linewidth=0.8)
            axes.set_xlim(0, 1)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
            axes.set_xlabel(label)
            axes.grid(color="#e6e6e6", linewidth=0.6)
        panels[0].set_ylabel(f"best time / {other}'s final")
        panels[0].legend(frameon=False)
        figure.suptitle(f"{len(found)} pairs of searches, median", x=0.02, ha="left", fontsize=9)
        save_figure(figure, path)


def _line(found: list[Pair], side: str, column: int, trials: int) -> tuple[list[float], list[float]]:
    """(shares, medians) from where most searches have a time on."""
    curves: list[Curve] = [getattr(pair, side) for pair in found]
    totals = [trials if column == 0 else pair.theirs[-1][1] for pair in found]
    shares = [point / _POINTS for point in range(1, _POINTS + 1)]
    kept, medians = [], []
    for share in shares:
        best = [best_within(curve, column, share * total) for curve, total in zip(curves, totals, strict=True)]
        ratios = [(value or inf) / pair.theirs[-1][3] for value, pair in zip(best, found, strict=True)]
        if (middle := median(ratios)) < inf:
            kept.append(share)
            medians.append(middle)
    return kept, medians

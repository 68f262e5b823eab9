"""Plots of the best TDI over time, one for each graph and budget."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.remat.figures import MOCCASIN, final, median_run, published
from tvm_memopt.report.chart import STYLE, chart_format, load_matplotlib, save_figure

_LINES = {  # method: label, colour, width
    "moccasin-authors": ("MOCCASIN, authors' encoding", "#b794c9", 1.4),
    "moccasin": ("MOCCASIN", "#7b3fa0", 1.4),
    "checkmate": ("Checkmate", "#c05621", 1.4),
    "ours": ("ours (each seed)", "#2b6cb0", 1.1),
}
_FIRST_SECONDS = 0.01
_ENTRY_INCHES = 2.0  # of the legend
_PAPER = "#8a8a8a"


def write_anytime(document: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Draw the rows of ``benchmarks.remat.run`` into a ``.svg`` or ``.png`` file, by atomic rename.

    Raises MemoptError for another extension or when matplotlib is absent.
    """
    chart_format(path)
    rows = [row for row in document["rows"].values() if "ours" in row["methods"]]
    graphs = list(dict.fromkeys(row["graph"] for row in rows))
    budgets = sorted({row["percent"] for row in rows}, reverse=True)
    with load_matplotlib().rc_context(STYLE):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(1.2 + 2.7 * len(budgets), 1.1 + 1.9 * len(graphs)), layout="constrained")
        panels = figure.subplots(len(graphs), len(budgets), squeeze=False)
        for axes in panels.flat:
            axes.set_visible(False)
        for row in rows:
            axes = panels[graphs.index(row["graph"])][budgets.index(row["percent"])]
            _draw(axes, row, document["seconds"])
        _label(figure, panels)
        save_figure(figure, path, dpi=130)


def _draw(axes: Any, row: Mapping[str, Any], seconds: float) -> None:
    axes.set_visible(True)
    axes.set_title(f"{row['graph']}, {row['percent']:g} %", loc="left", fontsize=9)
    drawn: dict[str, float] = {}
    missing: dict[str, str] = {}
    for method, (label, colour, width) in _LINES.items():
        runs = row["methods"].get(method, {"runs": []})["runs"]
        for run in runs:
            if run["curve"]:
                _step(axes, run["curve"], max(seconds, run["seconds"]), color=colour, linewidth=width, label=label)
                drawn[method] = max(drawn.get(method, 0.0), final(run["curve"]) or 0.0)
            else:
                missing[label] = "proved impossible" if run["status"] == "infeasible" else "no plan"
    _levels(axes, row, drawn)
    _say_what_is_missing(axes, missing)
    _scale(axes, drawn, seconds)


def _say_what_is_missing(axes: Any, missing: Mapping[str, str]) -> None:
    text = "\n".join(f"{label}: {word}" for label, word in missing.items())
    if "proved impossible" in missing.values():
        text = "proved: no plan keeps this budget"
    axes.text(0.03, 0.97, text, transform=axes.transAxes, va="top", ha="left", fontsize=6.5, color="#4a4a4a")


def _scale(axes: Any, drawn: Mapping[str, float], seconds: float) -> None:
    """Up to what counts at the end: the authors' encoding, often far above, only where it is alone."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    shown = [value for method, value in drawn.items() if method != "moccasin-authors"] or list(drawn.values())
    top = 1.6 * max([*shown, 0.02])
    axes.set_ylim(-0.05 * top, top)
    if not drawn:
        axes.set_yticks([])
    axes.set_xscale("log")
    axes.set_xlim(_FIRST_SECONDS, seconds * 1.15)
    axes.xaxis.set_major_locator(LogLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)


def _step(axes: Any, curve: Sequence[Sequence[float]], end: float, **style: Any) -> None:
    """A stair that goes on to the end; a lone point, the answer of a method that gives one, has a dot."""
    at = [max(_FIRST_SECONDS, point[0]) for point in curve]
    values = [point[1] for point in curve]
    axes.plot([*at, max(end, at[-1])], [*values, values[-1]], drawstyle="steps-post", zorder=3, **style)
    axes.plot(at[-1:], values[-1:], marker="o", markersize=2.6, linestyle="", color=style["color"], zorder=4)


def _levels(axes: Any, row: Mapping[str, Any], drawn: dict[str, float]) -> None:
    """The published figure, and the bound where it says anything."""
    paper = published(MOCCASIN, row["graph"], row["percent"])
    if paper is not None:
        axes.axhline(paper, color=_PAPER, linestyle="--", linewidth=0.9, label="MOCCASIN, published", zorder=1)
        drawn["published"] = paper
    bound = median_run(row["methods"]["ours"]["runs"])["bound"]
    if bound:
        axes.axhline(bound, color=_PAPER, linestyle=":", linewidth=0.9, label="no plan costs less", zorder=1)


def _label(figure: Any, panels: Any) -> None:
    for line in panels:
        line[0].set_ylabel("best TDI, %")
    for axes in panels[-1]:
        axes.set_xlabel("seconds")
    entries: dict[str, Any] = {}
    for axes in panels.flat:
        entries |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    columns = max(1, int(figure.get_figwidth() / _ENTRY_INCHES))
    place = "outside lower center"
    figure.legend(entries.values(), entries.keys(), loc=place, ncols=columns, frameon=False, fontsize=8)

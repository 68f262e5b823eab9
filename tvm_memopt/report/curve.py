"""Chart of the trade-off between memory and time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tvm_memopt.graph import Plan
from tvm_memopt.report.chart import STYLE, chart_format, load_matplotlib, save_figure
from tvm_memopt.report.units import byte_ticks, short_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MISSES = {"unknown": ("no plan found", "--"), "infeasible": ("proved impossible", "-")}
_FOUND, _BOUND, _MISSED = "#2b6cb0", "#8a8a8a", "#c05621"


def write_curve(title: str, plans: Sequence[Plan], path: str | os.PathLike[str]) -> None:
    """Draw the extra cost of each plan against its arena size into a ``.png`` or ``.svg`` file, written atomically.

    Raises MemoptError for another extension or if matplotlib is missing.
    """
    chart_format(path)
    with load_matplotlib().rc_context(STYLE):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8.0, 4.8))
        axes = figure.subplots()
        figure.subplots_adjust(left=0.1, right=0.97, top=0.88, bottom=0.14)
        _draw(axes, plans)
        axes.set_title(title, loc="left", fontsize=10)
        save_figure(figure, path)


def extra_percent(cost: float, base_cost: float) -> float:
    """Extra cost, in percent of the cost with every op run once."""
    return 100 * (cost / base_cost - 1) if base_cost else 0.0


def _draw(axes: Axes, plans: Sequence[Plan]) -> None:
    kept = sorted((p for p in plans if p.status in ("optimal", "feasible")), key=lambda p: p.budget_nbytes or 0)
    missed = [p for p in plans if p not in kept and p.budget_nbytes is not None]
    budgets = [p.budget_nbytes or 0 for p in kept]
    extra = [extra_percent(p.cost, p.base_cost) for p in kept]
    least = [extra_percent(p.cost_bound, p.base_cost) if p.cost_bound is not None else 0.0 for p in kept]
    axes.plot(budgets, extra, marker="o", color=_FOUND, drawstyle="steps-post", label="found", zorder=3)
    axes.plot(budgets, least, linestyle=":", color=_BOUND, drawstyle="steps-post", label="no plan costs less", zorder=2)
    for status, (label, style) in _MISSES.items():
        for rank, plan in enumerate(p for p in missed if p.status == status):
            text = label if rank == 0 else None
            axes.axvline(plan.budget_nbytes or 0, color=_MISSED, linestyle=style, linewidth=1, label=text, zorder=1)
    for budget, value in zip(budgets, extra, strict=True):
        axes.annotate(
            f"{value:.2f} %", (budget, value), textcoords="offset points", xytext=(0, 7), ha="center", fontsize=8
        )
    asked = [p.budget_nbytes or 0 for p in plans]
    limit = max([*asked, 1])
    ticks = byte_ticks(limit, 8)
    axes.set_xticks([value for value, _ in ticks], [text for _, text in ticks])
    lowest = min([*asked, limit])
    margin = max(1.0, 0.06 * (limit - lowest))
    axes.set_xlim(lowest - margin, limit + margin)
    axes.set_ylim(-0.06 * max([*extra, 1.0]), 1.15 * max([*extra, 1.0]))
    axes.set_xlabel(f"budget: the largest arena ({short_bytes(limit)} at the right)")
    axes.set_ylabel("extra run time, % of every op once")
    axes.grid(color="#e6e6e6", linewidth=0.6, zorder=0)
    axes.legend(frameon=False, fontsize=8)

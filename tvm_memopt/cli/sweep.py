"""``tvm-memopt sweep MODEL_OR_GRAPH --budgets 100%,90%,80%``."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click

from tvm_memopt.atomic import write_text_atomic
from tvm_memopt.cli.console import emit, note, search_progress
from tvm_memopt.cli.files import check_output
from tvm_memopt.cli.models import Lowering, graph_of_model, read_graph_if_given
from tvm_memopt.cli.options import (
    dask_options,
    executor_option,
    frontend_option,
    function_option,
    json_option,
    kernel_options,
    shape_option,
    target_option,
)
from tvm_memopt.cli.plan import make_request, note_ignored_options
from tvm_memopt.cli.summaries import plan_summary
from tvm_memopt.errors import BudgetError, NoPlanError
from tvm_memopt.graph import Graph, Plan, check_budget_syntax, parse_budget

_WIDTHS = (26, 15, 6, 10, 9, 10, 7)
_RELAY_OPTIONS = ("budgets", "output", "plot", "dask", "workers", "time_limit", "threads", "seed", "as_json")
DEFAULT_BUDGETS = "100%,90%,80%,70%,60%,50%,40%"


@click.command("sweep")
@click.argument("source", metavar="MODEL_OR_GRAPH")
@click.option(
    "--budgets", default=DEFAULT_BUDGETS, show_default=True, metavar="90%,192KiB,…",
    help="Limits on the arena, separated by commas.",
)  # fmt: skip
@click.option("-o", "--output", metavar="FILE", help="Write the curve, with every schedule, as JSON.")
@click.option("--plot", metavar="FILE", help="Draw the curve (.svg, .png).")
@click.option(
    "--time-limit", type=float, default=10.0, show_default=True, metavar="S", help="Seconds to search per budget."
)
@click.option("--threads", type=int, metavar="N", help="Threads to search with; default: all processors.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of randomised searches.")
@shape_option
@target_option
@function_option
@kernel_options
@frontend_option
@executor_option
@dask_options
@json_option
def command(
    source: str, budgets: str, output: str | None, plot: str | None, time_limit: float, threads: int | None, seed: int,
    dask: str | None, workers: int | None, as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """Trade memory against time: find the cheapest plan for each of several budgets.

    Percentages refer to the peak of the given order. Ctrl-C ends the search and keeps the curve so far. With --dask or
    --workers, the budgets are searched at the same time, with one thread each.

    \b
    Examples:
      tvm-memopt sweep model.onnx --budgets 100%,80%,60% --plot curve.svg
      tvm-memopt sweep graph.json -o curve.json --time-limit 60
    """
    from tvm_memopt.passes.device_fit import noted
    from tvm_memopt.solvers.sweep import sweep

    request = make_request(time_limit, threads, seed)
    wanted = _split(budgets)
    _check_files(source, output, plot)
    graph = read_graph_if_given(source)
    if graph is None:
        graph = graph_of_model(source, Lowering(**options), _RELAY_OPTIONS)
    else:
        note_ignored_options(source)
    limits = [parse_budget(text, graph) for text in wanted]
    if dask is not None or workers is not None:
        from tvm_memopt.farm.sweeping import sweep_on_farm

        alone = replace(request, threads=threads or 1)
        plans = sweep_on_farm(graph, limits, alone, scheduler=dask, workers=workers or os.cpu_count() or 1)
    else:
        with search_progress() as progress:
            plans = sweep(graph, limits, replace(request, progress=progress))
    if options["device"] is not None:
        plans = [noted(options["device"], graph, plan) for plan in plans]
    document = curve(graph, plans)
    if output is not None:
        write_text_atomic(output, json.dumps(document, indent=1))
    if plot is not None:
        from tvm_memopt.report.curve import write_curve

        write_curve(f"{graph.name}: memory against time", plans, plot)
    if plans[-1].solver.get("interrupted"):
        note("interrupted: this is the curve so far")
    emit(as_json, document, table(graph, plans))
    if all(plan.status in ("infeasible", "unknown") for plan in plans):
        raise NoPlanError("no budget of the sweep could be met: try larger ones")


def _split(budgets: str) -> list[str]:
    wanted = [text.strip() for text in budgets.split(",") if text.strip()]
    if not wanted:
        raise BudgetError(f"--budgets {budgets!r}: expected at least one, for example {DEFAULT_BUDGETS}")
    for text in wanted:
        check_budget_syntax(text)
    return wanted


def _check_files(source: str, output: str | None, plot: str | None) -> None:
    if output is not None:
        check_output(output, source)
    if plot is not None:
        from tvm_memopt.report.chart import chart_format, load_matplotlib

        chart_format(plot)
        load_matplotlib()
        check_output(plot, source, *([output] if output is not None else []))


def curve(graph: Graph, plans: Sequence[Plan]) -> dict[str, object]:
    """The sweep for JSON output: a plan summary and schedule for each budget."""
    points = [{**plan_summary(graph, plan), "schedule": list(plan.schedule)} for plan in plans]
    given = plans[0].solver["given_order_peak_nbytes"]
    return {"graph": graph.name, "ops": len(graph.ops), "given_order_peak_nbytes": given, "points": points}


def table(graph: Graph, plans: Sequence[Plan]) -> str:
    """The sweep as a text table."""
    from tvm_memopt.report.curve import extra_percent

    given = plans[0].solver["given_order_peak_nbytes"]
    lines = [f"{graph.name}: {len(graph.ops)} ops, given order's peak {given:,} bytes", ""]
    lines.append(_line("budget", "arena", "steps", "extra time", "at least", "status", "seconds"))
    for plan in plans:
        budget = plan.budget_nbytes or 0
        extra = f"{extra_percent(plan.cost, plan.base_cost):.2f} %"
        least = f"{extra_percent(plan.cost_bound or 0.0, plan.base_cost):.2f} %"
        if plan.status in ("infeasible", "unknown"):
            extra = least = "-"
        asked, seconds = f"{budget:,} ({100 * budget / max(1, given):.1f} %)", float(plan.solver.get("seconds", 0.0))
        lines.append(
            _line(asked, f"{plan.arena_nbytes:,}", len(plan.schedule), extra, least, plan.status, f"{seconds:.2f}")
        )
    return "\n".join([*lines, *_device_line(plans)])


def _device_line(plans: Sequence[Plan]) -> list[str]:
    """Which of the plans fit the device."""
    known = [(plan, plan.solver["device"]) for plan in plans if "device" in plan.solver]
    if not known:
        return []
    fitting = [plan for plan, device in known if device["fits"] and plan.status in ("optimal", "feasible")]
    if not fitting:
        closest = min((device for _, device in known), key=lambda device: int(device["needed_nbytes"]))
        return ["", f"no plan of the sweep fits; the smallest {closest['text']}"]
    name, largest = known[0][1]["name"], max(plan.budget_nbytes or 0 for plan in fitting)
    return ["", f"plans for budgets up to {largest:,} bytes fit {name}"]


def _line(*cells: object) -> str:
    return "  ".join(str(cell).rjust(width) for cell, width in zip(cells, _WIDTHS, strict=True))

"""``tvm-memopt plan MODEL_OR_GRAPH -o plan.json``."""

from __future__ import annotations

import shlex
import sys
from dataclasses import fields, replace
from typing import Any

import click
from click.core import ParameterSource

from tvm_memopt.cli.console import emit, note, search_progress
from tvm_memopt.cli.files import check_output, check_output_folder
from tvm_memopt.cli.models import Lowering, graph_of_model, read_graph_if_given
from tvm_memopt.cli.options import (
    executor_option,
    frontend_option,
    function_option,
    json_option,
    kernel_options,
    search_options,
    shape_option,
    target_option,
)
from tvm_memopt.cli.summaries import device_lines, note_interrupted, plan_summary, plan_text, raise_for_device
from tvm_memopt.errors import InfeasibleBudgetError, NoPlanError
from tvm_memopt.graph import Graph, Plan, check_budget_syntax, parse_budget, write_plan
from tvm_memopt.solvers.request import Request

_RELAY_OPTIONS = ("output", "report_dir", "budget", "time_limit", "threads", "seed", "method", "as_json")


@click.command("plan")
@click.argument("source", metavar="MODEL_OR_GRAPH")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to write the plan.")
@search_options
@click.option("--report", "report_dir", metavar="DIR", help="Folder for an HTML report, charts, graph and plan.")
@click.option(
    "--method",
    type=click.Choice(["portfolio", "moccasin", "checkmate", "olla"]),
    default="portfolio",
    show_default=True,
    help="Search method: the portfolio of all solvers, or one paper's formulation.",
)
@shape_option
@target_option
@function_option
@kernel_options
@frontend_option
@executor_option
@json_option
def command(
    source: str, output: str, report_dir: str | None, budget: str | None, time_limit: float, threads: int | None,
    seed: int, method: str, as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """Search an order of the ops and offsets for all tensors of MODEL_OR_GRAPH, and write the plan.

    Ctrl-C ends the search and keeps the best plan so far. A plan that misses the budget, or the memory of --device, is
    also written, with its status, and the exit status reports it.

    \b
    Examples:
      tvm-memopt plan graph.json -o plan.json --budget 80% --time-limit 60
      tvm-memopt plan model.onnx -o plan.json --shape input=1,3,224,224
      tvm-memopt plan model.onnx -o plan.json --device cortex-m7
      tvm-memopt plan graph.json -o moccasin.json --budget 80% --method moccasin
    """
    from tvm_memopt.passes.device_fit import plan_for_device
    from tvm_memopt.solvers import solve

    if budget is not None:
        check_budget_syntax(budget)
    request = replace(make_request(time_limit, threads, seed), method=method)
    check_output(output, source)
    if report_dir is not None:
        _check_report(report_dir)
    graph = read_graph_if_given(source)
    if graph is None:
        graph = graph_of_model(source, Lowering(**options), _RELAY_OPTIONS)
    else:
        note_ignored_options(source)
    if budget is not None:
        request = replace(request, budget_nbytes=parse_budget(budget, graph))
    with search_progress() as progress:
        request = replace(request, progress=progress)
        device = options["device"]
        plan = solve(graph, request) if device is None else plan_for_device(graph, request, device, solve)
    write_plan(plan, output)
    note_interrupted(plan)
    if report_dir is not None:
        _write_report(report_dir, graph, plan, request)
    emit(as_json, plan_summary(graph, plan), "\n".join([f"{output}: {plan_text(plan)}", *device_lines(plan)]))
    raise_for_budget(graph, plan)
    raise_for_device(plan)


def _check_report(folder: str) -> None:
    from tvm_memopt.report.chart import load_matplotlib

    check_output_folder(folder)
    load_matplotlib()  # before the search, not after it


def _write_report(folder: str, graph: Graph, plan: Plan, request: Request) -> None:
    from tvm_memopt import __version__
    from tvm_memopt.report import ReportContext, write_report

    context = ReportContext(
        command_line=shlex.join(["tvm-memopt", *sys.argv[1:]]),
        seed=request.seed,
        time_limit=request.time_limit,
        versions={"tvm-memopt": __version__},
        notes=plan.notes,
    )
    write_report(folder, graph, plan, context)


def make_request(time_limit: float, threads: int | None, seed: int) -> Request:
    """The solver request for the search options."""
    request = Request(time_limit=time_limit, seed=seed)
    return request if threads is None else replace(request, threads=threads)


def note_ignored_options(source: str) -> None:
    """Note on stderr which options for models have no effect on a graph."""
    context = click.get_current_context()
    names = [field.name for field in fields(Lowering) if field.name != "device"]
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name in names and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    ]
    if given:
        note(f"{source}: is a graph already: {', '.join(given)} have no effect")


def raise_for_budget(graph: Graph, plan: Plan) -> None:
    """Raise InfeasibleBudgetError or NoPlanError if ``plan`` misses its budget."""
    from tvm_memopt.solvers.portfolio.verdict import budget_message

    if plan.status == "infeasible":
        raise InfeasibleBudgetError(budget_message(graph, plan))
    if plan.status == "unknown":
        raise NoPlanError(budget_message(graph, plan))

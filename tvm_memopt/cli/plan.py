"""``tvm-memopt plan MODEL_OR_GRAPH -o plan.json``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from tvm_memopt.cli.console import emit, note, search_progress, stage
from tvm_memopt.cli.models import import_for_command, read_graph_if_given
from tvm_memopt.cli.options import (
    function_option,
    json_option,
    kernel_options,
    search_options,
    shape_option,
    target_option,
)
from tvm_memopt.errors import InfeasibleBudgetError, NoPlanError
from tvm_memopt.graph import Graph, Plan, check_budget_syntax, parse_budget, write_plan
from tvm_memopt.solvers.request import Request


@click.command("plan")
@click.argument("source", metavar="MODEL_OR_GRAPH")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to write the plan.")
@search_options
@shape_option
@target_option
@function_option
@kernel_options
@json_option
def command(
    source: str, output: str, budget: str | None, time_limit: float, threads: int | None, seed: int,
    shapes: tuple[str, ...], target: str, function: str | None, fold: str, no_inplace: bool,
    measure_costs: bool, as_json: bool,
) -> None:  # fmt: skip
    """Search the order and the places of all tensors of MODEL_OR_GRAPH, and write the plan.

    Ctrl-C ends the search and keeps the best plan so far. A plan that misses the budget is written too,
    with its status, and the exit status says so.

    \b
    Examples:
      tvm-memopt plan graph.json -o plan.json --budget 80% --time-limit 60
      tvm-memopt plan model.onnx -o plan.json --shape input=1,3,224,224
    """
    from tvm_memopt.solvers import solve

    if budget is not None:
        check_budget_syntax(budget)
    request = make_request(time_limit, threads, seed)
    graph = read_graph_if_given(source)
    if graph is None:
        graph = _graph_of_model(source, shapes, target, function, fold, no_inplace, measure_costs)
    if budget is not None:
        request = replace(request, budget_nbytes=parse_budget(budget, graph))
    with search_progress() as progress:
        plan = solve(graph, replace(request, progress=progress))
    write_plan(plan, output)
    if plan.solver.get("interrupted"):
        note("interrupted: this is the best plan so far")
    emit(as_json, plan_summary(graph, plan), f"{output}: {plan_text(plan)}")
    raise_for_budget(graph, plan)


def make_request(time_limit: float, threads: int | None, seed: int) -> Request:
    """The request that the search options ask for."""
    request = Request(time_limit=time_limit, seed=seed)
    return request if threads is None else replace(request, threads=threads)


def _graph_of_model(
    source: str, shapes: tuple[str, ...], target: str, function: str | None, fold: str, no_inplace: bool, measure: bool
) -> Graph:
    from tvm_memopt.api import lower, main_function, make_target

    chosen = make_target(target)
    mod = import_for_command(source, shapes)
    from tvm_memopt.passes.relax.planning import PlanOptions, extract_module

    options = PlanOptions(fold_data_movement=fold, inplace=not no_inplace, measure_costs=measure)
    with stage("lowering"):
        lowered, chosen = lower(mod, chosen)
        with chosen:
            functions = extract_module(lowered, chosen, options).functions
    graph: Graph = functions[function or main_function(functions)].graph
    return graph


def plan_summary(graph: Graph, plan: Plan) -> dict[str, Any]:
    """Figures of a plan for programs."""
    keys = (
        "arena_nbytes", "peak_live_nbytes", "lower_bound_nbytes", "budget_nbytes", "cost", "base_cost", "status",
    )  # fmt: skip
    figures = {key: getattr(plan, key) for key in keys}
    return {"graph": graph.name, "steps": len(plan.schedule), **figures, "solver": dict(plan.solver)}


def plan_text(plan: Plan) -> str:
    """The same for people, in one line."""
    bound = plan.lower_bound_nbytes
    gap = (
        ""
        if bound is None
        else f", bound {bound:,}" + ("" if bound == plan.arena_nbytes else f" (gap {plan.gap_nbytes:,})")
    )
    given = plan.solver.get("given_order_peak_nbytes")
    before = f" (given order's peak {given:,})" if given is not None else ""
    seconds = plan.solver.get("seconds")
    took = f", {seconds:.2f} s" if isinstance(seconds, float) else ""
    return f"arena {plan.arena_nbytes:,} bytes{before}{gap}, {plan.status}{took}"


def raise_for_budget(graph: Graph, plan: Plan) -> None:
    """Raises InfeasibleBudgetError or NoPlanError when ``plan`` misses its budget."""
    from tvm_memopt.solvers.verdict import budget_message

    if plan.status == "infeasible":
        raise InfeasibleBudgetError(budget_message(graph, plan))
    if plan.status == "unknown":
        raise NoPlanError(budget_message(graph, plan))

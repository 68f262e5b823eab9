"""``tvm-memopt check GRAPH PLAN``."""

from __future__ import annotations

import click

from tvm_memopt.cli.console import emit
from tvm_memopt.cli.options import json_option
from tvm_memopt.errors import PlanError
from tvm_memopt.graph import find_violations, read_graph, read_plan


@click.command("check")
@click.argument("graph_file", metavar="GRAPH")
@click.argument("plan_file", metavar="PLAN")
@json_option
def command(graph_file: str, plan_file: str, as_json: bool) -> None:
    """Say whether PLAN is right for GRAPH: every broken rule with its step, op and bytes.

    \b
    Example:
      tvm-memopt check graph.json plan.json
    """
    graph, plan = read_graph(graph_file), read_plan(plan_file)
    violations = find_violations(graph, plan)
    if violations and not as_json:
        more = f" and {len(violations) - 1} more" if len(violations) > 1 else ""
        raise PlanError(f"{plan_file}: not valid for {graph_file}: {violations[0].rule}{more}", violations)
    document = {
        "valid": not violations,
        "violations": [
            {"rule": v.rule, "step": v.step, "op": v.op, "nbytes": v.nbytes, "text": v.text} for v in violations
        ],
        "arena_nbytes": plan.arena_nbytes,
        "status": plan.status,
    }
    emit(as_json, document, f"valid: {len(plan.schedule)} steps, arena {plan.arena_nbytes:,} bytes, {plan.status}")
    if violations:
        raise click.exceptions.Exit(PlanError.exit_status)

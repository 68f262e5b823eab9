"""``tvm-memopt check GRAPH PLAN``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from tvm_memopt.cli.console import emit
from tvm_memopt.cli.options import json_option
from tvm_memopt.errors import PlanError, Violation
from tvm_memopt.graph import find_violations, read_graph, read_plan

_ANEW = "make a new one with 'tvm-memopt plan'"


@click.command("check")
@click.argument("graph_file", metavar="GRAPH")
@click.argument("plan_file", metavar="PLAN")
@json_option
def command(graph_file: str, plan_file: str, as_json: bool) -> None:
    """Check PLAN against GRAPH, and list every violated rule with its step, op and bytes.

    \b
    Example:
      tvm-memopt check graph.json plan.json

    The exit status is 2 if a rule is violated.
    """
    graph, plan = read_graph(graph_file), read_plan(plan_file)
    violations = find_violations(graph, plan)
    if violations and not as_json:
        raise invalid_plan(plan_file, graph_file, violations)
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


def invalid_plan(plan_file: str, source: str, violations: Sequence[Violation], advice: str = _ANEW) -> PlanError:
    """The error for a plan file that violates rules. ``main`` lists them below the message."""
    count = "1 violation" if len(violations) == 1 else f"{len(violations)} violations"
    return PlanError(f"{plan_file}: not a valid plan for {source}: {count}, listed below; {advice}", violations)

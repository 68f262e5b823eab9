"""``tvm-memopt show PLAN --graph GRAPH``."""

from __future__ import annotations

import click

from tvm_memopt.cli.console import emit
from tvm_memopt.cli.options import json_option
from tvm_memopt.graph import check, read_graph, read_plan


@click.command("show")
@click.argument("plan_file", metavar="PLAN")
@click.option("--graph", "graph_file", required=True, metavar="GRAPH", help="The graph that the plan is for.")
@click.option(
    "-o", "--output", metavar="FILE",
    help="Write a chart (.svg, .png), a trace for Perfetto (.json) or buffers (.csv) instead of printing.",
)  # fmt: skip
@json_option
def command(plan_file: str, graph_file: str, output: str | None, as_json: bool) -> None:
    """Draw PLAN: memory over steps with the live tensors stacked, and the address map.

    \b
    Examples:
      tvm-memopt show plan.json --graph graph.json
      tvm-memopt show plan.json --graph graph.json -o chart.svg
    """
    from tvm_memopt.cli.plan import plan_summary
    from tvm_memopt.report import print_chart, write_buffers_csv, write_chart, write_trace

    graph, plan = read_graph(graph_file), read_plan(plan_file)
    check(graph, plan)
    if output is None:
        if as_json:
            emit(True, plan_summary(graph, plan), "")
        else:
            print_chart(graph, plan)
        return
    if output.endswith(".csv"):
        write_buffers_csv(graph, plan, output)
    elif output.endswith(".json"):
        write_trace(graph, plan, output)
    else:
        write_chart(graph, plan, output)
    emit(as_json, {"written": output, **plan_summary(graph, plan)}, f"{output}: written")

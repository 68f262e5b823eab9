"""``tvm-memopt show PLAN --graph GRAPH``."""

from __future__ import annotations

from pathlib import Path

import click

from tvm_memopt.cli.console import emit, printing
from tvm_memopt.cli.files import check_output
from tvm_memopt.cli.options import json_option
from tvm_memopt.cli.plans.check import invalid_plan
from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import find_violations, read_graph, read_plan

_EXTENSIONS = (".svg", ".png", ".json", ".csv")


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
    from tvm_memopt.cli.summaries import plan_summary
    from tvm_memopt.report import print_chart, write_buffers_csv, write_chart, write_trace

    if output is not None:
        _check_output(output, plan_file, graph_file)
    graph, plan = read_graph(graph_file), read_plan(plan_file)
    if violations := find_violations(graph, plan):
        raise invalid_plan(plan_file, graph_file, violations)
    if output is None:
        if as_json:
            emit(True, plan_summary(graph, plan), "")
        else:
            with printing():
                print_chart(graph, plan)
        return
    write = {".csv": write_buffers_csv, ".json": write_trace}.get(Path(output).suffix.lower(), write_chart)
    write(graph, plan, output)
    emit(as_json, {"written": output, **plan_summary(graph, plan)}, f"{output}: written")


def _check_output(output: str, plan_file: str, graph_file: str) -> None:
    if Path(output).suffix.lower() not in _EXTENSIONS:
        raise MemoptError(f"{output}: expected a name that ends in {', '.join(_EXTENSIONS)}; rename the output file")
    check_output(output, plan_file, graph_file)

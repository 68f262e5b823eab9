"""``tvm-memopt graph MODEL -o graph.json``."""

from __future__ import annotations

from typing import Any

import click

from tvm_memopt.cli.console import emit
from tvm_memopt.cli.files import check_output
from tvm_memopt.cli.models import Lowering, graph_of_model
from tvm_memopt.cli.options import (
    executor_option,
    frontend_option,
    function_option,
    json_option,
    kernel_options,
    shape_option,
    target_option,
)
from tvm_memopt.graph import Graph, given_order, peak_live, working_set_bound, write_graph


@click.command("graph")
@click.argument("model")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to write the graph.")
@shape_option
@target_option
@function_option
@kernel_options
@frontend_option
@executor_option
@json_option
def command(model: str, output: str, as_json: bool, **options: Any) -> None:
    """Lower MODEL as TVM does and write its operators, tensors, sizes and costs as memopt-graph/1.

    With Relay, the operators are the calls of fused functions, with the scratch of their kernels as workspace.

    \b
    Example:
      tvm-memopt graph model.onnx -o graph.json --shape input=1,3,224,224
    """
    check_output(output, model)
    graph = graph_of_model(model, Lowering(**options), ("output", "as_json"))
    write_graph(graph, output)
    emit(as_json, summary(graph), f"{output}: {describe(graph)}")


def summary(graph: Graph) -> dict[str, object]:
    """Figures of a graph, for JSON output."""
    bound, op_id = working_set_bound(graph)
    return {
        "name": graph.name,
        "ops": len(graph.ops),
        "tensors": len(graph.tensors),
        "given_order_peak_nbytes": peak_live(graph, given_order(graph)),
        "working_set_nbytes": bound,
        "working_set_op": None if op_id is None else graph.ops[op_id].name,
    }


def describe(graph: Graph) -> str:
    """Figures of a graph as text."""
    figures = summary(graph)
    where = f" ({figures['working_set_op']})" if figures["working_set_op"] else ""
    return (
        f"{figures['ops']} ops, {figures['tensors']} tensors, given order's peak "
        f"{figures['given_order_peak_nbytes']:,} bytes, largest working set {figures['working_set_nbytes']:,} bytes"
        f"{where}"
    )

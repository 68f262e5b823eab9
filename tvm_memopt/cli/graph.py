"""``tvm-memopt graph MODEL -o graph.json``."""

from __future__ import annotations

import click

from tvm_memopt.cli.console import emit, note, stage
from tvm_memopt.cli.models import import_for_command
from tvm_memopt.cli.options import function_option, json_option, kernel_options, shape_option, target_option
from tvm_memopt.graph import Graph, given_order, peak_live, working_set_bound, write_graph


@click.command("graph")
@click.argument("model")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to write the graph.")
@shape_option
@target_option
@function_option
@kernel_options
@json_option
def command(
    model: str, output: str, shapes: tuple[str, ...], target: str, function: str | None, fold: str,
    no_inplace: bool, measure_costs: bool, as_json: bool,
) -> None:  # fmt: skip
    """Lower MODEL as TVM does and write its operators, tensors, sizes and costs as memopt-graph/1.

    \b
    Example:
      tvm-memopt graph model.onnx -o graph.json --shape input=1,3,224,224
    """
    from tvm_memopt.api import lower, main_function, make_target

    chosen = make_target(target)
    mod = import_for_command(model, shapes)
    from tvm_memopt.passes.relax.planning import PlanOptions, extract_module

    options = PlanOptions(fold_data_movement=fold, inplace=not no_inplace, measure_costs=measure_costs)
    with stage("lowering"):
        lowered, chosen = lower(mod, chosen)
        with chosen:
            extracted = extract_module(lowered, chosen, options)
    found = extracted.functions[function or main_function(extracted.functions)]
    write_graph(found.graph, output)
    for text in (*found.notes, *(f"function {n}: left as it is: {r}" for n, r in extracted.skipped.items())):
        note(text)
    emit(as_json, summary(found.graph), f"{output}: {describe(found.graph)}")


def summary(graph: Graph) -> dict[str, object]:
    """Figures of a graph for programs."""
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
    """The same for people."""
    figures = summary(graph)
    return (
        f"{figures['ops']} ops, {figures['tensors']} tensors, given order's peak "
        f"{figures['given_order_peak_nbytes']:,} bytes, largest working set {figures['working_set_nbytes']:,} bytes"
    )

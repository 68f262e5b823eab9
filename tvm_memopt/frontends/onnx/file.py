"""Reading of ONNX files, with the clean-ups that TVM's importer needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tvm_memopt.errors import FrontendError
from tvm_memopt.frontends.failures import reason, require, show_places

if TYPE_CHECKING:
    import onnx

INSTALL = "pip install 'tvm-memopt[onnx]'"
_KNOWN_DOMAINS = frozenset({"", "ai.onnx", "com.microsoft"})
_RESIZE_SIZED_INPUTS = (1, 2)


def load(path: Path) -> onnx.ModelProto:
    """Load the ModelProto in ``path``, including weights in side files, ready for TVM's importer."""
    onnx = require("onnx", INSTALL)
    try:
        model = onnx.load(path)
    except Exception as error:
        raise FrontendError(
            f"not a readable ONNX model (truncated, corrupt, or without its side files): {reason(error)}"
        ) from None
    if not model.graph.node and not model.graph.output:
        raise FrontendError("not an ONNX model: it holds no graph")
    if model.functions:
        model = require("onnx.inliner", INSTALL).inline_local_functions(model)
    _check_domains(model)
    blank_empty_resize_inputs(model)
    return model


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """``graph`` and the graphs inside its nodes (branches of If, bodies of Loop), outermost first."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs] if attribute.HasField("g") else attribute.graphs:
                yield from graphs(inner)


def nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """All nodes of the model, including those in nested graphs."""
    for graph in graphs(model.graph):
        yield from graph.node


def place(node: onnx.NodeProto) -> tuple[str, str]:
    """The operator of a node, and the node's name or, failing that, its first output."""
    name = f"node {node.name!r}" if node.name else f"the unnamed node that makes {node.output[0]!r}"
    return f"{node.domain}::{node.op_type}" if node.domain else str(node.op_type), name


def blank_empty_resize_inputs(model: onnx.ModelProto) -> None:
    """Blank empty ``roi`` and ``scales`` of Resize, which exporters add to ``sizes`` and TVM would treat as given."""
    empty = _empty_constants(model)
    for node in nodes(model):
        if node.op_type == "Resize":
            for position in _RESIZE_SIZED_INPUTS:
                if position < len(node.input) and node.input[position] in empty:
                    node.input[position] = ""


def _empty_constants(model: onnx.ModelProto) -> set[str]:
    empty = {tensor.name for graph in graphs(model.graph) for tensor in graph.initializer if 0 in tensor.dims}
    for node in nodes(model):
        if node.op_type == "Constant" and any(a.HasField("t") and 0 in a.t.dims for a in node.attribute):
            empty.update(node.output)
    return empty


def _check_domains(model: onnx.ModelProto) -> None:
    """Reject operators of other domains. TVM looks operators up by name only and would take them for standard ones."""
    foreign = [node for node in nodes(model) if node.domain not in _KNOWN_DOMAINS]
    if foreign:
        raise FrontendError(f"TVM's ONNX importer does not support {show_places(map(place, foreign))}")

"""Rewrite operators that TVM's ONNX importer lacks into operators that it supports."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tvm_memopt.errors import FrontendError
from tvm_memopt.frontends.failures import show_places
from tvm_memopt.frontends.onnx import file as onnx_file
from tvm_memopt.frontends.onnx.emit import CannotRewriteError, Emitter, Rule
from tvm_memopt.frontends.onnx.loops import unroll_loop, unroll_scan
from tvm_memopt.frontends.onnx.quantized import QUANTIZED
from tvm_memopt.frontends.onnx.recurrent import unroll_recurrent
from tvm_memopt.frontends.onnx.values import Values, infer_dims

if TYPE_CHECKING:
    import onnx

_RULES: dict[str, Rule] = {
    **dict.fromkeys(("LSTM", "GRU", "RNN"), unroll_recurrent),
    "Loop": unroll_loop,
    "Scan": unroll_scan,
    **QUANTIZED,
}
_BODIES = ("Loop", "Scan")
_FUNCTIONS = (
    "BlackmanWindow", "Celu", "CenterCropPad", "HammingWindow", "HannWindow", "NegativeLogLikelihoodLoss",
    "SoftmaxCrossEntropyLoss", "SwiGLU", "Swish",
)  # fmt: skip
"""Standard operators without a converter in TVM that ONNX defines as functions of others."""
_DEFAULT_OPSET = 17
_MAX_NODES = 100_000


def rewrite(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrite quantised, recurrent and loop operators of ``model``. Returns ``model`` itself if it has none.

    Raises FrontendError that names the operators that cannot be rewritten, and why.
    """
    import onnx.inliner

    found = {node.op_type for node in onnx_file.nodes(model)}
    if functions := [("", name) for name in _FUNCTIONS if name in found]:
        model = onnx.inliner.inline_selected_functions(model, functions, inline_schema_functions=True)
    if not found & _RULES.keys():
        return model
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    opset = _opset(changed)
    for turn in itertools.count():
        refused = _rewrite_once(changed, opset, turn)
        if refused is None:
            return changed
        if refused:
            raise FrontendError(refused)
    raise AssertionError


def _opset(model: onnx.ModelProto) -> int:
    versions = [one.version for one in model.opset_import if one.domain in {"", "ai.onnx"}]
    if not versions:
        model.opset_import.add(domain="", version=_DEFAULT_OPSET)
    return int(versions[0]) if versions else _DEFAULT_OPSET


def _rewrite_once(model: onnx.ModelProto, opset: int, turn: int) -> str | None:
    """Apply the rules once. Returns None if nothing is left to do, the reason if no rule could be applied, else ""."""
    values = Values(infer_dims(model), {}, {}, tuple(model.opset_import))
    count = 0
    refused: list[str] = []
    for graph in list(_outer_graphs(model.graph)):
        _learn(graph, values)
    for number, graph in enumerate(list(_outer_graphs(model.graph))):
        done, why = _rewrite_graph(graph, values, opset, f"memopt{turn}.{number}")
        count, refused = count + done, refused + why
    if not count:
        return refused[0] if refused else None
    if (size := sum(1 for _ in onnx_file.nodes(model))) > _MAX_NODES:
        raise FrontendError(f"the model has {size} operators with its loops unrolled, expected at most {_MAX_NODES}")
    return ""


def _outer_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """``graph`` and its branches, but not loop bodies, which are unrolled first."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute if node.op_type not in _BODIES else ():
            if attribute.HasField("g"):
                yield from _outer_graphs(attribute.g)


def _learn(graph: onnx.GraphProto, values: Values) -> None:
    from onnx import numpy_helper

    changeable = {value.name for value in graph.input}
    for tensor in graph.initializer:
        if tensor.name not in changeable:
            values.constants[tensor.name] = numpy_helper.to_array(tensor)
    values.producers.update({output: node for node in graph.node for output in node.output})


def _rewrite_graph(graph: onnx.GraphProto, values: Values, opset: int, prefix: str) -> tuple[int, list[str]]:
    nodes, refused, done = [], [], 0
    for position, node in enumerate(graph.node):
        rule = _RULES.get(node.op_type)
        emit = Emitter(values, opset, f"{prefix}.{position}")
        try:
            if rule is not None:
                rule(node, emit)
        except CannotRewriteError as error:
            refused.append(f"{show_places([onnx_file.place(node)])} cannot be rewritten: {error}")
            rule = None
        if rule is None:
            nodes.append(node)
            continue
        done += 1
        nodes += emit.nodes
        graph.initializer.extend(emit.tensors)
    if done:
        kept = type(graph)(node=nodes).node  # a copy, since clearing the list frees the old nodes
        del graph.node[:]
        graph.node.extend(kept)
    return done, refused

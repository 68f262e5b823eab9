"""Small ONNX models for the import tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def value(name: str, shape: list[int | str | None] | None, dtype: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    *,
    weights: dict[str, np.ndarray] | None = None,
    domains: tuple[str, ...] = (),
) -> Path:
    initialisers = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, "test", inputs, outputs, initialisers)
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def conv_net(path: Path, batch: int | str = 1) -> Path:
    """relu(conv(x)), then the mean over the image."""
    random = np.random.default_rng(0)
    weights = {
        "w": random.standard_normal((4, 3, 3, 3)).astype("float32"),
        "b": random.standard_normal(4).astype("float32"),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["y"], "pool"),
    ]
    return save(path, nodes, [value("x", [batch, 3, 8, 8])], [value("y", [batch, 4, 1, 1])], weights=weights)


def computed_reshape(path: Path) -> Path:
    """x reshaped to (batch, channels * height * width) with sizes that the graph computes, then a dense layer."""
    random = np.random.default_rng(0)
    weights = {
        "zero": np.array([0], "int64"),
        "rest": np.array([-1], "int64"),
        "w": random.standard_normal((48, 5)).astype("float32"),
    }
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"], "shape_of"),
        helper.make_node("Gather", ["shape", "zero"], ["batch"], "batch_of"),
        helper.make_node("Cast", ["batch"], ["as_float"], "to_float", to=FLOAT),
        helper.make_node("Ceil", ["as_float"], ["rounded"], "round"),
        helper.make_node("Cast", ["rounded"], ["as_int"], "to_int", to=TensorProto.INT64),
        helper.make_node("Concat", ["as_int", "rest"], ["target"], "target", axis=0),
        helper.make_node("Reshape", ["x", "target"], ["flat"], "flatten"),
        helper.make_node("MatMul", ["flat", "w"], ["y"], "dense"),
    ]
    return save(path, nodes, [value("x", ["batch", 3, 4, 4])], [value("y", ["batch", 5])], weights=weights)


def resize_to(path: Path, empty: str) -> Path:
    """x enlarged to 8x8 by ``sizes``; the unused ``roi`` and ``scales`` are empty initialisers or Constant nodes."""
    none, weights = np.array([], "float32"), {"sizes": np.array([1, 2, 8, 8], "int64")}
    nodes = [helper.make_node("Resize", ["x", "roi", "scales", "sizes"], ["y"], "resize", mode="nearest")]
    if empty == "initialiser":
        weights |= {"roi": none, "scales": none}
    else:
        constants = [
            helper.make_node("Constant", [], [name], value=numpy_helper.from_array(none)) for name in ("roi", "scales")
        ]
        nodes = [*constants, *nodes]
    return save(path, nodes, [value("x", [1, 2, 4, 4])], [value("y", [1, 2, 8, 8])], weights=weights)


def branches(path: Path) -> Path:
    """x + 1 where the flag is set, otherwise x * 2, through ``If``."""
    weights = {"one": np.array(1, "float32"), "two": np.array(2, "float32")}
    then = helper.make_graph([helper.make_node("Add", ["x", "one"], ["a"], "plus")], "then", [], [value("a", [4])])
    other = helper.make_graph([helper.make_node("Mul", ["x", "two"], ["m"], "times")], "else", [], [value("m", [4])])
    node = helper.make_node("If", ["flag"], ["y"], "choose", then_branch=then, else_branch=other)
    return save(
        path, [node], [value("flag", [], TensorProto.BOOL), value("x", [4])], [value("y", [4])], weights=weights
    )


def one_node(path: Path, op_type: str, name: str = "", domain: str = "", **attributes: object) -> Path:
    """A model of one node from x to y, both of shape (1, 4, 8)."""
    node = helper.make_node(op_type, ["x"], ["y"], name, domain=domain, **attributes)
    shape = [1, 4, 8]
    return save(path, [node], [value("x", shape)], [value("y", shape)], domains=(domain,) if domain else ())

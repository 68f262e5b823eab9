"""Small ONNX models that once failed; ``python -m tests.cases.make_cases FOLDER`` writes all of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_OPSET = 17
_IR_VERSION = 9


def first_conv() -> onnx.ModelProto:
    """A padded convolution at the peak of memory, with a dynamic batch and picture size."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    inputs, outputs = [_value("x", ["N", 3, "H", "W"])], [_value("y", ["N", 8])]
    return _model("first_conv", nodes, inputs, outputs, {"w": _floats(8, 3, 3, 3)})


def fixed_batch() -> onnx.ModelProto:
    """A convolution whose exporter fixed the batch at 10."""
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * 4)]
    inputs, outputs = [_value("x", [10, 3, 32, 32])], [_value("y", [10, 8, 32, 32])]
    return _model("fixed_batch", nodes, inputs, outputs, {"w": _floats(8, 3, 3, 3)})


def decoder() -> onnx.ModelProto:
    """An upsampling and a transposed convolution side by side."""
    how = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    nodes = [
        helper.make_node("Resize", ["x", "", "scale"], ["u"], **how),
        helper.make_node("ConvTranspose", ["x", "w"], ["t"], strides=[2, 2]),
        helper.make_node("Concat", ["u", "t"], ["k"], axis=1),
        helper.make_node("Split", ["k", "parts"], ["p", "q"], axis=1),
        helper.make_node("Sub", ["p", "q"], ["y"]),
    ]
    scale, parts = np.array([1, 1, 2, 2], np.float32), np.array([8, 8], np.int64)
    constants = {"scale": scale, "w": _floats(8, 8, 2, 2), "parts": parts}
    inputs, outputs = [_value("x", [1, 8, 16, 16])], [_value("y", [1, 8, 32, 32])]
    return _model("decoder", nodes, inputs, outputs, constants)


def half() -> onnx.ModelProto:
    """A convolution and a softmax in half precision."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
        helper.make_node("Softmax", ["c"], ["y"], axis=1),
    ]
    inputs, outputs = ([_value(name, [1, 8, 16, 16], TensorProto.FLOAT16)] for name in "xy")
    return _model("half", nodes, inputs, outputs, {"w": _floats(8, 8, 3, 3).astype(np.float16)})


def conv3d() -> onnx.ModelProto:
    """A convolution and a pooling over three spatial dimensions."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 6),
        helper.make_node("MaxPool", ["c"], ["y"], kernel_shape=[2] * 3, strides=[2] * 3),
    ]
    inputs, outputs = [_value("x", [1, 2, 8, 16, 16])], [_value("y", [1, 4, 4, 8, 8])]
    return _model("conv3d", nodes, inputs, outputs, {"w": _floats(4, 2, 3, 3, 3)})


def nms() -> onnx.ModelProto:
    """Non-maximum suppression: the number of boxes that stay is known at run time only."""
    nodes = [helper.make_node("NonMaxSuppression", ["boxes", "scores", "most", "iou", "least"], ["y"])]
    constants = {
        "most": np.array([10], np.int64),
        "iou": np.array([0.5], np.float32),
        "least": np.array([0.1], np.float32),
    }
    inputs = [_value("boxes", [1, 50, 4]), _value("scores", [1, 2, 50])]
    return _model("nms", nodes, inputs, [_value("y", ["n", 3], TensorProto.INT64)], constants)


def detector() -> onnx.ModelProto:
    """Convolutions whose result is what non-maximum suppression chooses from."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1] * 4),
        helper.make_node("Softmax", ["a"], ["b"], axis=1),
        helper.make_node("Conv", ["b", "w"], ["e"], pads=[1] * 4),
        helper.make_node("Reshape", ["e", "shape"], ["scores"]),
        helper.make_node("NonMaxSuppression", ["boxes", "scores", "most", "iou", "least"], ["y"]),
    ]
    constants = {
        "w": _floats(8, 8, 3, 3),
        "shape": np.array([1, 8, 256], np.int64),
        "most": np.array([10], np.int64),
        "iou": np.array([0.5], np.float32),
        "least": np.array([0.1], np.float32),
    }
    inputs = [_value("x", [1, 8, 16, 16]), _value("boxes", [1, 256, 4])]
    outputs = [_value("e", [1, 8, 16, 16]), _value("y", ["n", 3], TensorProto.INT64)]
    return _model("detector", nodes, inputs, outputs, constants)


def nonzero() -> onnx.ModelProto:
    """The elements that a ReLU leaves, gathered, beside convolutions."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("NonZero", ["b"], ["i"]),
        helper.make_node("Transpose", ["i"], ["rows"], perm=[1, 0]),
        helper.make_node("GatherND", ["a", "rows"], ["g"]),
        helper.make_node("Exp", ["g"], ["y"]),
        helper.make_node("Conv", ["b", "w"], ["f"], pads=[1] * 4),
        helper.make_node("Softmax", ["f"], ["s"], axis=1),
    ]
    outputs = [_value("y", ["n"]), _value("s", [1, 8, 16, 16])]
    return _model("nonzero", nodes, [_value("x", [1, 8, 16, 16])], outputs, {"w": _floats(8, 8, 3, 3)})


def unique() -> onnx.ModelProto:
    """The distinct values of a tensor, and work on all of its values."""
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Unique", ["r"], ["u"], sorted=1),
        helper.make_node("Neg", ["u"], ["y"]),
        helper.make_node("Softmax", ["r"], ["a"], axis=1),
        helper.make_node("Softmax", ["a"], ["s"], axis=1),
    ]
    return _model("unique", nodes, [_value("x", [16, 64])], [_value("y", ["n"]), _value("s", [16, 64])])


def branch() -> onnx.ModelProto:
    """An If whose branches hold a convolution and a negation."""
    convolve = helper.make_node("Conv", ["x", "w"], ["t"], pads=[1] * 4)
    then = helper.make_graph([convolve], "then", [], [_value("t", [1, 4, 8, 8])])
    negate = helper.make_node("Neg", ["x"], ["e"])
    other = helper.make_graph([negate], "other", [], [_value("e", [1, 4, 8, 8])])
    nodes = [
        helper.make_node("If", ["c"], ["r"], then_branch=then, else_branch=other),
        helper.make_node("Relu", ["r"], ["y"]),
    ]
    inputs = [_value("c", [], TensorProto.BOOL), _value("x", [1, 4, 8, 8])]
    return _model("branch", nodes, inputs, [_value("y", [1, 4, 8, 8])], {"w": _floats(4, 4, 3, 3)})


def qlinear() -> onnx.ModelProto:
    """A convolution in the integer form of quantised models."""
    nodes = [helper.make_node("QLinearConv", ["x", "s", "z", "w", "ws", "wz", "s2", "z"], ["y"], pads=[1] * 4)]
    constants = {
        "s": np.float32(0.02),
        "s2": np.float32(0.1),
        "z": np.uint8(128),
        "ws": np.float32(0.01),
        "wz": np.int8(0),
        "w": np.random.default_rng(0).integers(-127, 127, (16, 8, 3, 3)).astype(np.int8),
    }
    inputs = [_value("x", [1, 8, 16, 16], TensorProto.UINT8)]
    return _model("qlinear", nodes, inputs, [_value("y", [1, 16, 16, 16], TensorProto.UINT8)], constants)


def lstm() -> onnx.ModelProto:
    """An LSTM over 20 steps, with one of its outputs left unused."""
    nodes = [helper.make_node("LSTM", ["x", "W", "R", "B"], ["Y", "Yh", "Yc"], hidden_size=8)]
    constants = {"W": _floats(1, 32, 4), "R": _floats(1, 32, 8), "B": _floats(1, 64)}
    outputs = [_value("Y", [20, 1, 1, 8]), _value("Yh", [1, 1, 8])]
    return _model("lstm", nodes, [_value("x", [20, 1, 4])], outputs, constants)


def gru() -> onnx.ModelProto:
    """A GRU over 12 steps in both directions."""
    inputs, outputs = ["x", "W", "R", "B"], ["Y", "Yh"]
    nodes = [helper.make_node("GRU", inputs, outputs, hidden_size=8, direction="bidirectional")]
    constants = {"W": _floats(2, 24, 4), "R": _floats(2, 24, 8), "B": _floats(2, 48)}
    return _model("gru", nodes, [_value("x", [12, 1, 4])], [_value("Y", [12, 2, 1, 8])], constants)


def loop() -> onnx.ModelProto:
    """A Loop of five trips that collects a row on each."""
    body_nodes = [
        helper.make_node("Add", ["v", "one"], ["v2"]),
        helper.make_node("Identity", ["go"], ["go2"]),
        helper.make_node("Identity", ["v2"], ["row"]),
    ]
    body = helper.make_graph(
        body_nodes,
        "body",
        [_value("i", [], TensorProto.INT64), _value("go", [], TensorProto.BOOL), _value("v", [4])],
        [_value("go2", [], TensorProto.BOOL), _value("v2", [4]), _value("row", [4])],
        [numpy_helper.from_array(np.ones(4, np.float32), "one")],
    )
    nodes = [helper.make_node("Loop", ["trips", "true", "x"], ["y", "rows"], body=body)]
    constants = {"trips": np.int64(5), "true": np.bool_(True)}
    return _model("loop", nodes, [_value("x", [4])], [_value("y", [4]), _value("rows", [5, 4])], constants)


def scan() -> onnx.ModelProto:
    """A Scan that sums up six rows."""
    body_nodes = [
        helper.make_node("Add", ["s", "xi"], ["so"]),
        helper.make_node("Identity", ["so"], ["yo"]),
    ]
    body_inputs, body_outputs = [_value("s", [4]), _value("xi", [4])], [_value("so", [4]), _value("yo", [4])]
    body = helper.make_graph(body_nodes, "step", body_inputs, body_outputs)
    nodes = [helper.make_node("Scan", ["s0", "x"], ["sf", "y"], body=body, num_scan_inputs=1)]
    inputs, outputs = [_value("s0", [4]), _value("x", [6, 4])], [_value("sf", [4]), _value("y", [6, 4])]
    return _model("scan", nodes, inputs, outputs)


CASES: dict[str, Callable[[], onnx.ModelProto]] = {
    "first_conv": first_conv,
    "fixed_batch": fixed_batch,
    "decoder": decoder,
    "half": half,
    "conv3d": conv3d,
    "nms": nms,
    "detector": detector,
    "nonzero": nonzero,
    "unique": unique,
    "branch": branch,
    "qlinear": qlinear,
    "lstm": lstm,
    "gru": gru,
    "loop": loop,
    "scan": scan,
}


def write_case(name: str, folder: Path) -> Path:
    """The path of the model ``name`` of ``CASES``, written into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.onnx"
    onnx.save(CASES[name](), path)
    return path


def _value(name: str, shape: Sequence[int | str], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _floats(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def _model(
    name: str,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    constants: dict[str, Any] | None = None,
) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(np.asarray(array), key) for key, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, name, inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    onnx.checker.check_model(model)
    return model


if __name__ == "__main__":
    for case_name in CASES:
        write_case(case_name, Path(sys.argv[1]))

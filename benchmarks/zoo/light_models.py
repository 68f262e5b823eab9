"""Well-known graphs that the onnx package ships with constant weights, here with seeded random weights.

The package's files fill every weight with one value. All outputs would be equal, and a comparison would always pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.zoo.cache import built
from benchmarks.zoo.model import Input, ZooModel

if TYPE_CHECKING:
    import onnx

_RECIPE = 1  # raise when the weights' distribution changes, so that no stale file is read


@dataclass(frozen=True, slots=True)
class _Role:
    """What a parameter does: ``bias``, ``scale`` (also a variance: positive, near 1) or ``weight``.

    ``gain`` is a weight's variance times its fan-in; ``axis`` is the axis of its output channels.
    """

    kind: str
    gain: float = 1.0
    axis: int = 0

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        if self.kind == "scale":
            return rng.uniform(0.9, 1.1, shape).astype(np.float32)
        fan_in = np.prod(shape) / shape[self.axis]
        deviation = np.sqrt(self.gain / fan_in) if self.kind == "weight" else 0.1
        return rng.normal(0.0, deviation, shape).astype(np.float32)


def with_random_weights(model: onnx.ModelProto, seed: int, classifier: float = 1.0) -> onnx.ModelProto:
    """A copy in which every float parameter is a seeded random initializer that keeps the signal's scale.

    Weights have variance 2 / fan-in before a ReLU (He et al., 2015) and 1 / fan-in elsewhere; the last layer's
    are scaled by ``classifier``, small for nets whose signal grows so much that the softmax would saturate.
    """
    import onnx
    from onnx import numpy_helper

    rng = np.random.default_rng(seed)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    fixed = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    filled = {node.output[0]: fixed[node.input[0]] for node in graph.node if node.op_type == "ConstantOfShape"}
    shapes = {name: tuple(int(size) for size in shape) for name, shape in filled.items()}
    shapes |= {name: value.shape for name, value in fixed.items() if value.dtype == np.float32}
    roles = _roles(graph.node, classifier)
    _replace(graph, {name: roles[name].draw(rng, shape) for name, shape in sorted(shapes.items()) if name in roles})
    result.ir_version = max(result.ir_version, 8)  # from 4 on, initializers need not be inputs
    return result


def _roles(nodes: Sequence[onnx.NodeProto], classifier: float) -> dict[str, _Role]:
    """Role of each parameter by the node that reads it; Reshape and Unsqueeze pass their output's role on."""
    readers = {name: node for node in nodes for name in node.input}
    layers = [node for node in nodes if node.op_type in ("Conv", "Gemm")]
    roles: dict[str, _Role] = {}
    for node in nodes:
        if node.op_type == "BatchNormalization":
            roles |= dict(zip(node.input[1:], map(_Role, ("scale", "bias", "bias", "scale")), strict=True))
        elif node.op_type in ("Conv", "Gemm"):
            gain = classifier**2 if node is layers[-1] else 1.0 + _reaches_relu(readers, node)
            roles[node.input[1]] = _Role("weight", gain, _output_axis(node))
            roles |= {name: _Role("bias") for name in node.input[2:]}
        elif node.op_type in ("Mul", "Add"):
            roles[node.input[1]] = _Role("scale" if node.op_type == "Mul" else "bias")
    passing = [node for node in nodes if node.op_type in ("Reshape", "Unsqueeze") and node.output[0] in roles]
    return roles | {node.input[0]: roles[node.output[0]] for node in passing}


def _reaches_relu(readers: dict[str, onnx.NodeProto], node: onnx.NodeProto) -> bool:
    """Whether only normalisation and affine nodes lie between this node and a ReLU."""
    reader = readers.get(node.output[0])
    while reader is not None and reader.op_type in ("BatchNormalization", "Mul", "Add"):
        reader = readers.get(reader.output[0])
    return reader is not None and reader.op_type == "Relu"


def _output_axis(node: onnx.NodeProto) -> int:
    transposed = any(item.name == "transB" and item.i for item in node.attribute)
    return 0 if node.op_type == "Conv" or transposed else 1


def _replace(graph: onnx.GraphProto, arrays: dict[str, np.ndarray]) -> None:
    from onnx import numpy_helper

    nodes = [node for node in graph.node if node.op_type != "ConstantOfShape"]
    read = {name for node in nodes for name in node.input} - arrays.keys()
    parameters = arrays.keys() | {item.name for item in graph.initializer}
    kept = [item for item in graph.initializer if item.name in read]
    kept += [numpy_helper.from_array(value, name) for name, value in arrays.items()]
    data = [item for item in graph.input if item.name not in parameters]
    for field, items in (("initializer", kept), ("node", nodes), ("input", data)):
        graph.ClearField(field)
        getattr(graph, field).extend(items)


def _write(name: str, classifier: float, path: Path) -> None:
    import onnx

    data = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    onnx.save(with_random_weights(onnx.load(data / f"light_{name}.onnx"), 0, classifier), path)


def _source(name: str, classifier: float) -> Path:
    try:
        installed = version("onnx")
    except PackageNotFoundError:
        installed = "missing"
    return built(f"light_{name}-onnx-{installed}-r{_RECIPE}.onnx", partial(_write, name, classifier))


def _model(name: str, family: str, data: str, classifier: float = 1.0) -> ZooModel:
    image = Input(data, (1, 3, 224, 224), kind="smooth", low=-2.0, high=2.0)
    return ZooModel(
        name=f"light_{name}",
        family=family,
        licence="Apache-2.0",
        package="onnx==1.23.2",
        inputs=(image,),
        source=partial(_source, name, classifier),
        requires=("onnx", "onnxruntime"),
        builds=True,
    )


MODELS = (
    _model("squeezenet", "SqueezeNet", "data_0"),
    _model("shufflenet", "ShuffleNet", "gpu_0/data_0", 0.02),
    _model("inception_v1", "GoogLeNet", "data_0"),
    _model("densenet121", "DenseNet", "data_0"),
    _model("resnet50", "ResNet", "gpu_0/data_0", 0.02),
    _model("inception_v2", "Inception", "data_0", 0.3),
)

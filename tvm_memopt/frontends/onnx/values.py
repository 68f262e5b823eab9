"""Values of an ONNX model that are known before it runs: shapes and constants."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from tvm_memopt.frontends.onnx.file import graphs

if TYPE_CHECKING:
    import numpy as np
    import onnx

logger = logging.getLogger(__name__)
_MAX_INLINE_ELEMENTS = 1024
_MAX_CHAIN = 200
_RANDOM = frozenset({"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Dropout"})

Dims: TypeAlias = "tuple[int | None, ...]"


def infer_dims(model: onnx.ModelProto) -> dict[str, Dims]:
    """Dimensions by tensor name, with None for an unknown one. Empty if shape inference fails."""
    import onnx

    try:
        inferred = onnx.shape_inference.infer_shapes(_without_weights(model), data_prop=True)
    except Exception as error:
        logger.debug("shape inference failed: %s", error)
        return {}
    found: dict[str, Dims] = {}
    for graph in graphs(inferred.graph):
        for tensor in graph.initializer:
            found[tensor.name] = tuple(tensor.dims)
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.tensor_type.HasField("shape"):
                dims = tuple(dim.dim_value or None for dim in value.type.tensor_type.shape.dim)
                found[value.name] = dims
    return found


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with inputs in place of large weights. Shape inference does not need them and is limited to 2 GiB."""
    import onnx

    graph = onnx.GraphProto(name=model.graph.name, node=model.graph.node, output=model.graph.output)
    graph.input.extend(model.graph.input)
    graph.value_info.extend(model.graph.value_info)
    inputs = {value.name for value in model.graph.input}
    for tensor in model.graph.initializer:
        if _size(tensor.dims) <= _MAX_INLINE_ELEMENTS:
            graph.initializer.append(tensor)
        elif tensor.name not in inputs:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, graph=graph)


def _size(dims: Iterable[int]) -> int:
    size = 1
    for dim in dims:
        size *= dim
    return size


@dataclass(frozen=True)
class Values:
    """Shapes and constants of one graph and of its enclosing graphs."""

    dims: dict[str, Dims]
    constants: dict[str, np.ndarray]
    producers: dict[str, onnx.NodeProto]
    opsets: tuple[onnx.OperatorSetIdProto, ...]

    def known(self, name: str) -> np.ndarray | None:
        """The constant value of ``name``, or None if it is not constant."""
        return self._known(name, [_MAX_CHAIN])

    def _known(self, name: str, left: list[int]) -> np.ndarray | None:
        if name in self.constants or name not in self.producers:
            return self.constants.get(name)
        left[0] -= 1
        node = self.producers[name]
        if left[0] < 0 or node.op_type in _RANDOM or any(a.HasField("g") for a in node.attribute):
            return None
        outputs = self._shape(node) if node.op_type in {"Shape", "Size"} else self._run(node, left)
        self.constants.update(outputs)
        return self.constants.get(name)

    def _shape(self, node: onnx.NodeProto) -> dict[str, np.ndarray]:
        import numpy as np

        dims = self.dims.get(node.input[0], (None,))
        if None in dims:
            return {}
        return self.evaluate(node, [np.empty([dim or 0 for dim in dims], np.bool_)])

    def _run(self, node: onnx.NodeProto, left: list[int]) -> dict[str, np.ndarray]:
        inputs = []
        for name in node.input:
            value = self._known(name, left) if name else None
            if name and value is None:
                return {}
            inputs.append(value)
        return self.evaluate(node, inputs)

    def evaluate(self, node: onnx.NodeProto, inputs: Sequence[np.ndarray | None]) -> dict[str, np.ndarray]:
        """The outputs of one node by name, computed by ONNX's reference evaluator. Empty if that fails."""
        import numpy as np
        from onnx.reference import ReferenceEvaluator

        feeds = {name: value for name, value in zip(node.input, inputs, strict=True) if name and value is not None}
        try:
            results = ReferenceEvaluator(_model_of(node, feeds, self.opsets)).run(None, feeds)
        except Exception as error:
            logger.debug("%s is not constant: %s", node.op_type, error)
            return {}
        names = [name for name in node.output if name]
        return {name: np.asarray(value) for name, value in zip(names, results, strict=True)}


def _model_of(
    node: onnx.NodeProto, feeds: Mapping[str, np.ndarray], opsets: tuple[onnx.OperatorSetIdProto, ...]
) -> onnx.ModelProto:
    from onnx import helper

    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in feeds.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    return helper.make_model(helper.make_graph([node], "one", inputs, outputs), opset_imports=opsets)

"""Emission of standard ONNX nodes that replace another node, for the operator set of the model."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from tvm_memopt.frontends.onnx.values import Values

if TYPE_CHECKING:
    import onnx
    from numpy.typing import ArrayLike

Attribute: TypeAlias = Any
"""A number, string, tensor, graph or a list of these, as the operator's definition requires."""
Attributes: TypeAlias = "dict[str, Attribute]"

_AXES_AS_INPUT = 13
_SLICE_BY_INPUTS = 10


class CannotRewriteError(Exception):
    """No rule fits the node. The text completes the sentence "LSTM (node 'a') cannot be rewritten: ..."."""


@dataclass(frozen=True)
class Emitter:
    """The nodes and constants emitted so far, and the known values of the model."""

    values: Values
    opset: int
    prefix: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    tensors: list[onnx.TensorProto] = field(default_factory=list)
    names: dict[Hashable, str] = field(default_factory=dict)

    def fresh(self, stem: str) -> str:
        """A name that is unused in the model."""
        return f"{self.prefix}/{stem}_{len(self.nodes) + len(self.tensors) + len(self.names)}"

    def constant(self, array: ArrayLike) -> str:
        """Add a constant and return its name. Equal small constants are shared."""
        import numpy as np
        from onnx import numpy_helper

        value = np.asarray(array)
        key = (value.dtype.str, value.shape, value.tobytes()) if value.size <= 16 else None
        if key in self.names and key is not None:
            return self.names[key]
        name = self.fresh("constant")
        self.tensors.append(numpy_helper.from_array(value, name))
        self.values.constants[name] = value
        self.values.dims[name] = value.shape
        if key is not None:
            self.names[key] = name
        return name

    def integers(self, *numbers: int) -> str:
        """Add a constant list of int64 and return its name."""
        import numpy as np

        return self.constant(np.array(numbers, np.int64))

    def add(self, op_type: str, *inputs: str, output: str = "", **attributes: Attribute) -> str:
        """Add a node and return its output. A node whose inputs are all constant becomes a constant."""
        from onnx import helper

        name = output or self.fresh(op_type)
        node = helper.make_node(op_type, list(inputs), [name], name, **attributes)
        arrays = [self.values.known(one) if one else None for one in inputs]
        if not output and inputs and not any(a is None and one for a, one in zip(arrays, inputs, strict=True)):
            found = self.values.evaluate(node, arrays)
            if name in found:
                return self.constant(found[name])
        self.nodes.append(node)
        self.values.producers[name] = node
        return name

    def rename(self, value: str, output: str) -> None:
        """Give ``value`` the name of the replaced node's ``output``, if that output is used."""
        if output:
            self.add("Identity", value, output=output)

    def unsqueeze(self, value: str, axis: int) -> str:
        """``value`` with an additional axis of extent 1."""
        if self.opset >= _AXES_AS_INPUT:
            return self.add("Unsqueeze", value, self.integers(axis))
        return self.add("Unsqueeze", value, axes=[axis])

    def take(self, value: str, index: int, axis: int = 0) -> str:
        """One element along an axis, without that axis."""
        import numpy as np

        if self.opset >= _AXES_AS_INPUT:  # TVM warns about every Gather that it compiles
            return self.add("Squeeze", self.slice(value, axis, index, index + 1), self.integers(axis))
        return self.add("Gather", value, self.constant(np.int64(index)), axis=axis)

    def slice(self, value: str, axis: int, start: int, stop: int) -> str:
        """Elements from ``start`` (inclusive) to ``stop`` (exclusive) along an axis."""
        if self.opset >= _SLICE_BY_INPUTS:
            bounds = (self.integers(start), self.integers(stop), self.integers(axis))
            return self.add("Slice", value, *bounds)
        # TVM reads the bounds of a Slice only from its inputs, even for old operator sets.
        return self.add("Gather", value, self.integers(*range(start, stop)), axis=axis)

    def stack(self, values: Sequence[str], axis: int) -> str:
        """All values stacked along a new axis."""
        return self.add("Concat", *(self.unsqueeze(value, axis) for value in values), axis=axis)


Rule: TypeAlias = "Callable[[onnx.NodeProto, Emitter], None]"


def attributes_of(node: onnx.NodeProto) -> Attributes:
    """Attributes by name, with bytes decoded to text."""
    from onnx import helper

    return {one.name: _text(helper.get_attribute_value(one)) for one in node.attribute}


def _text(value: Attribute) -> Attribute:
    if isinstance(value, bytes):
        return value.decode()
    return [_text(one) for one in value] if isinstance(value, list) else value


def optional(names: Sequence[str], position: int) -> str:
    """The name at ``position``, or "" if the node omits it."""
    return names[position] if position < len(names) else ""

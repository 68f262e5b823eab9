"""Import of TFLite flatbuffers with TVM's own importer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tvm_memopt.errors import FrontendError
from tvm_memopt.frontends.failures import locals_where, reason, require, run_importer, show_places
from tvm_memopt.frontends.shapes import Dim, SymbolicDim, resolve_shapes

if TYPE_CHECKING:
    import tflite
    import tvm

_INSTALL = "pip install 'tvm-memopt[tflite]'"
_QUOTED = re.compile(r"'([A-Z0-9_]+)'")


@dataclass(frozen=True, slots=True)
class _Operator:
    index: int
    name: str
    output: str

    @property
    def place(self) -> tuple[str, str]:
        return self.name, f"operator {self.index}, output {self.output}"


def read_model(path: Path, shapes: Mapping[str, Sequence[Dim]]) -> tvm.IRModule:
    """Import the first subgraph. Shapes are fixed in the file, so ``shapes`` may only replace dimensions of -1."""
    model, shape_by_input = read_flatbuffer(path, shapes)
    return run_importer(lambda: _convert(model, shape_by_input), lambda error: explain_failure(error, model))


def read_flatbuffer(path: Path, shapes: Mapping[str, Sequence[Dim]]) -> tuple[tflite.Model, dict[str, tuple[int, ...]]]:
    """The model in a file, and the full shape of each input."""
    tflite = require("tflite", _INSTALL)
    buffer = path.read_bytes()
    if buffer[4:8] != b"TFL3":
        raise FrontendError("not a TFLite model: the identifier 'TFL3' is missing")
    model = tflite.Model.GetRootAs(buffer, 0)
    return model, run_importer(lambda: _input_shapes(model, shapes), _unreadable)


def _input_shapes(model: tflite.Model, shapes: Mapping[str, Sequence[Dim]]) -> dict[str, tuple[int, ...]]:
    if model.SubgraphsLength() < 1:
        raise FrontendError("the flatbuffer holds no subgraph")
    subgraph = model.Subgraphs(0)
    declared = {}
    for index in (subgraph.Inputs(i) for i in range(subgraph.InputsLength())):
        tensor = subgraph.Tensors(index)
        sizes = (int(tensor.Shape(axis)) for axis in range(tensor.ShapeLength()))
        declared[_tensor_name(subgraph, index)] = tuple(size if size > 0 else None for size in sizes)
    return {name: _numbers(name, dims) for name, dims in resolve_shapes(shapes, declared).items()}


def _numbers(name: str, dims: Sequence[Dim]) -> tuple[int, ...]:
    if any(isinstance(dim, SymbolicDim) for dim in dims):
        raise FrontendError(f"input {name!r}: TFLite models cannot keep a symbolic dimension; give a number")
    return tuple(dim for dim in dims if isinstance(dim, int))


def _convert(model: tflite.Model, shape_by_input: Mapping[str, tuple[int, ...]]) -> tvm.IRModule:
    from tvm import relax
    from tvm.relax.frontend.tflite import from_tflite

    from tvm_memopt.frontends.tflite_operators import Converter

    converted = from_tflite(model, shape_dict=dict(shape_by_input), op_converter=Converter)
    if isinstance(converted, tuple):
        mod, params = converted
        return relax.transform.BindParams("main", params)(mod)
    return _without_copied_weights(converted)


def _without_copied_weights(mod: tvm.IRModule) -> tvm.IRModule:
    """Remove the second copy of the weights that TVM leaves in an attribute. ``main`` holds them as constants."""
    main = mod["main"]
    if len(main.params) == int(main.attrs["num_input"]):
        mod["main"] = main.without_attr("params")
    return mod


def explain_failure(error: Exception, model: tflite.Model) -> str:
    """One line for a failure of TVM's importer, with the operators at fault where they are known."""
    name = "TVM's TFLite importer"
    if named := set(_QUOTED.findall(str(error))):
        places = [operator.place for operator in _operators(model) if operator.name in named]
        if places:
            kind = "quantised " if "quantized" in str(error) or "quantization" in str(error) else ""
            return f"{name} does not support {kind}{show_places(places)}"
    for function in ("convert_op_to_relax", "convert_op_to_relay", "check_unsupported_ops"):
        index = locals_where(error, function).get("op_idx")
        if index is not None and (at := _operator_at(model, index)):
            return f"{name} failed on {show_places([at.place])}: {reason(error)}"
    return _unreadable(error)


def _unreadable(error: Exception) -> str:
    return f"the flatbuffer cannot be read (truncated, corrupt, or of a kind that TVM lacks): {reason(error)}"


def _operators(model: tflite.Model) -> Iterator[_Operator]:
    for index in range(model.Subgraphs(0).OperatorsLength()):
        if operator := _operator_at(model, index):
            yield operator


def _operator_at(model: tflite.Model, index: int) -> _Operator | None:
    """The operator at ``index``, or None if the flatbuffer is too damaged to tell."""
    try:
        subgraph = model.Subgraphs(0)
        operator = subgraph.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex())
        output = operator.Outputs(0) if operator.OutputsLength() else -1
        named = f"tensor {output} {_tensor_name(subgraph, output)!r}" if output >= 0 else "none"
        return _Operator(index, _operator_name(code), named)
    except Exception:
        return None


def _operator_name(code: tflite.OperatorCode) -> str:
    import tflite

    # Files written before the schema grew past 127 operators hold the code in the older, narrower field.
    value = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    names = {number: name for name, number in vars(tflite.BuiltinOperator).items() if isinstance(number, int)}
    if custom := code.CustomCode():
        return f"CUSTOM {custom.decode('utf-8', 'replace')}"
    return str(names.get(value, f"builtin {value}"))


def _tensor_name(subgraph: tflite.SubGraph, index: int) -> str:
    name = subgraph.Tensors(index).Name()
    # An unnamed tensor gets the name that TVM's importer generates.
    return f"tvmgen_tensor_{index}" if name is None else name.decode("utf-8", "replace")

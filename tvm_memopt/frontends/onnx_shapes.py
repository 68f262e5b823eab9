"""Input shapes of ONNX models: what the file declares, and writing the given ones into it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tvm_memopt.errors import FrontendError
from tvm_memopt.frontends.shapes import DeclaredDim, Dim, SymbolicDim, resolve_shapes


def apply_shapes(model: Any, shapes: Mapping[str, Sequence[Dim]]) -> dict[str, int]:
    """Write ``shapes`` into the model's inputs in place; returns the upper bounds of the dimensions left symbolic."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: value for value in model.graph.input if value.name not in weights}
    for name, value in inputs.items():
        if not value.type.HasField("tensor_type"):
            kind = value.type.WhichOneof("value") or "value without a type"
            raise FrontendError(f"input {name!r} is a {kind.removesuffix('_type')}; only tensors are supported")
    declared = {name: _declared(value.type.tensor_type) for name, value in inputs.items()}
    resolved = resolve_shapes({_name_in_file(name, inputs): dims for name, dims in shapes.items()}, declared)
    for name, dims in resolved.items():
        _write(inputs[name].type.tensor_type.shape, dims)
    # Shapes of inner tensors were inferred for the dynamic inputs; they would contradict the new ones.
    if any(dims != declared[name] for name, dims in resolved.items()):
        del model.graph.value_info[:]
    return {d.name: d.upper_bound for dims in resolved.values() for d in dims if isinstance(d, SymbolicDim)}


def _name_in_file(name: str, inputs: Collection[str]) -> str:
    """The input that TVM's importer calls ``name``: it makes identifiers of names such as ``input.1`` and ``0``."""
    renamed = [one for one in inputs if _as_imported(one) == name]
    return renamed[0] if name not in inputs and len(renamed) == 1 else name


def _as_imported(name: str) -> str:
    identifier = name.replace(".", "_")
    return identifier if identifier[:1].isalpha() or identifier[:1] == "_" else f"input_{identifier}"


def _declared(tensor_type: Any) -> tuple[DeclaredDim, ...] | None:
    if not tensor_type.HasField("shape"):
        return None
    return tuple(_declared_dim(dim) for dim in tensor_type.shape.dim)


def _declared_dim(dim: Any) -> DeclaredDim:
    # Some exporters write 0 or -1 for "unknown".
    if dim.dim_value > 0:
        return int(dim.dim_value)
    return str(dim.dim_param) or None


def _write(shape: Any, dims: Sequence[Dim]) -> None:
    shape.SetInParent()
    del shape.dim[:]
    for dim in dims:
        if isinstance(dim, SymbolicDim):
            shape.dim.add().dim_param = dim.name
        else:
            shape.dim.add().dim_value = dim

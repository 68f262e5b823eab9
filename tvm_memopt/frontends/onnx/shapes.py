"""Input shapes of ONNX models: read the declared ones and write the given ones into the model."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tvm_memopt.errors import FrontendError
from tvm_memopt.frontends.onnx.file import graphs
from tvm_memopt.frontends.shapes import DeclaredDim, Dim, SymbolicDim, resolve_shapes

if TYPE_CHECKING:
    import onnx


def apply_shapes(
    model: onnx.ModelProto, shapes: Mapping[str, Sequence[Dim]], overrides: Mapping[str, Sequence[Dim]] | None = None
) -> dict[str, int]:
    """Write ``shapes`` into the model's inputs in place. Returns the upper bounds of dimensions that stay symbolic.

    Shapes in ``overrides`` also replace dimensions that the file fixes.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: value for value in model.graph.input if value.name not in weights}
    for name, value in inputs.items():
        if not value.type.HasField("tensor_type"):
            kind = value.type.WhichOneof("value") or "value without a type"
            raise FrontendError(f"input {name!r} is a {kind.removesuffix('_type')}; only tensors are supported")
    declared = {name: _declared(value.type.tensor_type) for name, value in inputs.items()}
    given = {_name_in_file(name, inputs): dims for name, dims in shapes.items()}
    replaced = {_name_in_file(name, inputs): dims for name, dims in (overrides or {}).items()}
    if twice := given.keys() & replaced.keys():
        raise FrontendError(f"input {min(twice)!r} is given both a shape and one that overrides the model's")
    opened = declared | {name: _open(dims) for name, dims in declared.items() if name in replaced}
    resolved = resolve_shapes(given | replaced, opened, overridable=True)
    for name, dims in resolved.items():
        _write(inputs[name].type.tensor_type.shape, dims)
    # Stored shapes of inner tensors were inferred for the old inputs and would contradict the new ones.
    if any(dims != declared[name] for name, dims in resolved.items()):
        for graph in graphs(model.graph):
            del graph.value_info[:]
    if any(isinstance(dim, int) and dim != new for name in replaced for dim, new in _changes(declared, resolved, name)):
        _forget_outputs(model)
    return {d.name: d.upper_bound for dims in resolved.values() for d in dims if isinstance(d, SymbolicDim)}


def _open(dims: Sequence[DeclaredDim] | None) -> tuple[DeclaredDim, ...] | None:
    """The dimensions with fixed ones made unknown."""
    return None if dims is None else tuple(None if isinstance(dim, int) else dim for dim in dims)


def _changes(
    declared: Mapping[str, Sequence[DeclaredDim] | None], resolved: Mapping[str, Sequence[Dim]], name: str
) -> Iterator[tuple[DeclaredDim, Dim]]:
    return zip(declared[name] or (), resolved[name], strict=False)


def _forget_outputs(model: onnx.ModelProto) -> None:
    """Clear the dimensions of the outputs, which were derived from the replaced inputs. The ranks stay."""
    for graph in graphs(model.graph):
        for value in graph.output:
            for dim in value.type.tensor_type.shape.dim if value.type.HasField("tensor_type") else ():
                dim.Clear()


def _name_in_file(name: str, inputs: Collection[str]) -> str:
    """The input that TVM's importer calls ``name``. It turns names such as ``input.1`` and ``0`` into identifiers."""
    renamed = [one for one in inputs if _as_imported(one) == name]
    return renamed[0] if name not in inputs and len(renamed) == 1 else name


def _as_imported(name: str) -> str:
    identifier = name.replace(".", "_")
    return identifier if identifier[:1].isalpha() or identifier[:1] == "_" else f"input_{identifier}"


def _declared(tensor_type: onnx.TypeProto.Tensor) -> tuple[DeclaredDim, ...] | None:
    if not tensor_type.HasField("shape"):
        return None
    return tuple(_declared_dim(dim) for dim in tensor_type.shape.dim)


def _declared_dim(dim: onnx.TensorShapeProto.Dimension) -> DeclaredDim:
    # Some exporters write 0 or -1 for "unknown".
    if dim.dim_value > 0:
        return int(dim.dim_value)
    return str(dim.dim_param) or None


def _write(shape: onnx.TensorShapeProto, dims: Sequence[Dim]) -> None:
    shape.SetInParent()
    del shape.dim[:]
    for dim in dims:
        if isinstance(dim, SymbolicDim):
            shape.dim.add().dim_param = dim.name
        else:
            shape.dim.add().dim_value = dim

"""Bytes of a function's tensors by element type."""

from __future__ import annotations

from collections.abc import Mapping

import tvm
from tvm import relax
from tvm.ir import Var

from tvm_memopt.passes.relax.extract import Extraction
from tvm_memopt.passes.relax.program import leaves

_FLOAT = "float32"


def nbytes_by_type(extraction: Extraction) -> dict[str, dict[str, int]]:
    """Bytes of the ``"weights"``, and of all ``"activations"`` that have an address, by element type, largest first.

    Tensors whose type is unknown are left out. A tensor that is never alive together with another counts all the same.
    """
    tensors = extraction.graph.tensors
    types = {extraction.tensor_of[v]: _element_type(v) for v in extraction.tensor_of}
    found: dict[str, dict[str, int]] = {"activations": {}, "weights": {}}
    for index, tensor in enumerate(tensors):
        if tensor.kind == "activation" and tensor.alias_of is None and types.get(index):
            _add(found["activations"], types[index], tensor.nbytes)
    for constant, nbytes in _constants(extraction).items():
        _add(found["weights"], _element_type(constant), nbytes)
    return {kind: dict(sorted(sizes.items(), key=lambda item: -item[1])) for kind, sizes in found.items()}


def _constants(extraction: Extraction) -> Mapping[tvm.ir.GenericConst, int]:
    found: dict[tvm.ir.GenericConst, int] = {}
    for operation in extraction.operations:
        arguments = operation.value.args if isinstance(operation.value, relax.Call) else [operation.value]
        for leaf in (leaf for argument in arguments for leaf in leaves(argument)):
            if isinstance(leaf, tvm.ir.GenericConst):
                found[leaf] = int(leaf.value.numpy().nbytes)
    return found


def _element_type(expr: Var | tvm.ir.GenericConst) -> str:
    return str(expr.ty.dtype) if isinstance(expr.ty, relax.TensorType) else ""


def _add(sizes: dict[str, int], kind: str, nbytes: int) -> None:
    sizes[kind] = sizes.get(kind, 0) + nbytes


def has_narrow_types(sizes: Mapping[str, Mapping[str, int]]) -> bool:
    """Whether anything but float32 takes more than a tenth of the bytes of a kind."""
    return any(10 * (sum(s.values()) - s.get(_FLOAT, 0)) > sum(s.values()) for s in sizes.values() if s)

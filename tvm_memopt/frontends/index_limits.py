"""Upper limits of integer inputs that are used as indices, so that no lookup reads past the end of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tvm_memopt.frontends.relax_types import tensor_dims

if TYPE_CHECKING:
    from tvm import relax

_LOOK_UPS = frozenset({"relax.take", "relax.gather_elements", "relax.gather_nd"})


def index_limits(main: relax.Function) -> dict[str, int]:
    """For each integer parameter that indices are computed from, the number of rows of the smallest table indexed."""
    sources = {parameter: frozenset({str(parameter.name)}) for parameter in main.params if _is_integer(parameter)}
    limits: dict[str, int] = {}
    for block in main.body.blocks:
        for binding in block.bindings:
            value = getattr(binding, "value", None)
            for name in _indexed_by(value, sources):
                limits[name] = min(limits.get(name, _rows(value)), _rows(value))
            if _is_integer(binding.var):
                sources[binding.var] = _origins(getattr(value, "args", (value,)), sources)
    return limits


def _indexed_by(value: relax.Expr, sources: Mapping[relax.Var, frozenset[str]]) -> frozenset[str]:
    is_look_up = getattr(getattr(value, "op", None), "name", None) in _LOOK_UPS
    return _origins([value.args[1]], sources) if is_look_up else frozenset()


def _origins(read: Iterable[relax.Expr], sources: Mapping[relax.Var, frozenset[str]]) -> frozenset[str]:
    from tvm import relax

    found: frozenset[str] = frozenset()
    for one in read:
        if isinstance(one, relax.Var):
            found |= sources.get(one, frozenset())
        elif isinstance(one, relax.Tuple):
            found |= _origins(one.fields, sources)
        elif isinstance(one, relax.Call):
            found |= _origins(one.args, sources)
    return found


def _rows(look_up: relax.Call) -> int:
    """The extent of the indexed axis, or 1, which is always safe, if it is unknown."""
    dims = tensor_dims(look_up.args[0].ty)
    sizes = [int(dim) if hasattr(dim, "value") else 1 for dim in dims or ()]
    axis = getattr(look_up.attrs, "axis", None)
    if not sizes:
        return 1
    return sizes[int(axis)] if axis is not None else min(sizes)


def _is_integer(variable: relax.Var) -> bool:
    dtype = str(getattr(variable.ty, "dtype", ""))
    return dtype.startswith(("int", "uint"))

"""Shapes of Relax types, and functions that fix or bound the symbolic dimensions of a function's inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tvm_memopt.errors import FrontendError
from tvm_memopt.frontends.shapes import DeclaredDim, Dim, SymbolicDim, resolve_shapes, show_dim

if TYPE_CHECKING:
    import tvm
    from tvm import relax, tirx

UPPER_BOUND = "tir_var_upper_bound"
LOWER_BOUND = "tir_var_lower_bound"


def main_function(mod: tvm.IRModule) -> relax.Function:
    """The Relax function ``main``. If it is missing, raises FrontendError that lists the functions found."""
    from tvm import relax

    functions = {var.name_hint: function for var, function in mod.functions_items()}
    if isinstance(functions.get("main"), relax.Function):
        return functions["main"]
    held = ", ".join(sorted(functions)) or "nothing"
    raise FrontendError(f"no Relax function is named 'main'; the module holds {held}")


def bounds_of(function: relax.Function, attribute: str = UPPER_BOUND) -> dict[str, int]:
    """Bounds of symbolic variables by name, as stored by TVM in a function's attributes."""
    attributes = function.attrs or {}
    return {str(name): int(bound) for name, bound in attributes[attribute].items()} if attribute in attributes else {}


def with_upper_bounds(mod: tvm.IRModule, bounds: Mapping[str, int]) -> tvm.IRModule:
    """Add upper bounds for symbolic variables of ``main``."""
    if bounds:
        main = main_function(mod)
        mod = mod.clone()
        mod["main"] = main.with_attr(UPPER_BOUND, {**bounds_of(main), **bounds})
    return mod


def tensor_dims(type_: tvm.ir.Type) -> tuple[tvm.ir.Expr, ...] | None:
    """The dimensions of a tensor type as TVM expressions, or None if its shape is unknown."""
    return tuple(type_.shape.values) if hasattr(type_.shape, "values") else None


def variables_in(dim: tvm.ir.Expr) -> set[str]:
    """Names of the symbolic variables in one dimension."""
    return set(_variables(dim))


def evaluate(dim: tvm.ir.Expr, values: Mapping[str, int]) -> int | None:
    """The value of a dimension at ``values``, or None if it contains a variable without a value."""
    from tvm import sym, tirx

    variables = _variables(dim)
    if not variables.keys() <= values.keys():
        return None
    analyzer = sym.Analyzer()
    for name, variable in variables.items():
        analyzer.bind(variable, tirx.IntImm(str(variable.ty.dtype), values[name]))
    return int(analyzer.simplify(dim))


def _variables(dim: tvm.ir.Expr) -> dict[str, tirx.Var]:
    from tvm import tirx

    return {str(variable.name): variable for variable in tirx.analysis.undefined_vars(dim, [])}


def tensor_types(type_: tvm.ir.Type) -> Iterator[relax.TensorType]:
    """The tensor types in a type, including those inside tuples."""
    from tvm import relax

    if isinstance(type_, relax.TensorType):
        yield type_
    elif isinstance(type_, relax.TupleType):
        for field in type_.fields:
            yield from tensor_types(field)


def specialise(mod: tvm.IRModule, shapes: Mapping[str, Sequence[Dim]]) -> tvm.IRModule:
    """Fix or bound the symbolic input dimensions of ``main`` according to ``shapes``."""
    from tvm import relax

    main = main_function(mod)
    dims = {p.name: tensor_dims(p.ty) for p in main.params if isinstance(p.ty, relax.TensorType)}
    for name in shapes:
        if name in dims and dims[name] is None:
            raise FrontendError(f"input {name!r} has no shape in the module; write its dimensions there")
    upper = bounds_of(main)
    declared = {name: _declare(known, shapes, dims) if known is not None else None for name, known in dims.items()}
    resolved = resolve_shapes(shapes, declared, {**upper, **_derived_bounds(dims, upper)})
    values = _values(dims, resolved)
    _check_bounds(values, bounds_of(main, LOWER_BOUND), upper)
    fixed = {name: value for name, value in values.items() if isinstance(value, int)}
    kept = {name: value.upper_bound for name, value in values.items() if isinstance(value, SymbolicDim)}
    if fixed:
        mod = _forget_bounds(relax.transform.BindSymbolicVars(fixed, "main")(mod), fixed)
    return with_upper_bounds(mod, {name: bound for name, bound in kept.items() if upper.get(name) != bound})


def _declare(
    known: Sequence[tvm.ir.Expr], shapes: Mapping[str, Sequence[Dim]], dims: Mapping[str, Sequence[tvm.ir.Expr] | None]
) -> tuple[DeclaredDim, ...]:
    given = {name: value for name, value in _values(dims, shapes).items() if isinstance(value, int)}
    return tuple(_declare_dim(dim, given) for dim in known)


def _declare_dim(dim: tvm.ir.Expr, given: Mapping[str, int]) -> int | str:
    from tvm import tirx

    if isinstance(dim, tirx.IntImm):
        return int(dim)
    if isinstance(dim, tirx.Var):
        return str(dim.name)
    value = evaluate(dim, given)
    return str(dim) if value is None else value


def _derived_bounds(dims: Mapping[str, Sequence[tvm.ir.Expr] | None], upper: Mapping[str, int]) -> dict[str, int]:
    """Bounds of dimensions such as ``2 * n``, evaluated with each variable at its bound."""
    known = [dim for one in dims.values() for dim in one or ()]
    return {str(dim): value for dim in known if variables_in(dim) and (value := evaluate(dim, upper)) is not None}


def _values(dims: Mapping[str, Sequence[tvm.ir.Expr] | None], shapes: Mapping[str, Sequence[Dim]]) -> dict[str, Dim]:
    from tvm import tirx

    values: dict[str, Dim] = {}
    for name, shape in shapes.items():
        for dim, value in zip(dims.get(name) or (), shape, strict=False):
            if not isinstance(dim, tirx.Var):
                continue
            label = str(dim.name)
            if values.setdefault(label, value) != value:
                both = f"{show_dim(values[label])} and {show_dim(value)}"
                raise FrontendError(f"dimension {label!r} was given two values, {both}")
    return values


def _check_bounds(values: Mapping[str, Dim], lower: Mapping[str, int], upper: Mapping[str, int]) -> None:
    for name, value in values.items():
        size = value.upper_bound if isinstance(value, SymbolicDim) else value
        low, high = lower.get(name, 1), upper.get(name, size)
        if not low <= size <= high:
            raise FrontendError(f"dimension {name!r} must lie between {low} and {high}, not {size}")


def _forget_bounds(mod: tvm.IRModule, fixed: Mapping[str, int]) -> tvm.IRModule:
    for attribute in (UPPER_BOUND, LOWER_BOUND):
        main = mod["main"]
        bounds = bounds_of(main, attribute)
        kept = {name: bound for name, bound in bounds.items() if name not in fixed}
        if kept:
            mod["main"] = main.with_attr(attribute, kept)
        elif bounds:
            mod["main"] = main.without_attr(attribute)
    return mod

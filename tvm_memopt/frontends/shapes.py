"""Input shapes: parse ``name=1,3,224,224`` and fill in the dynamic dimensions of a model's inputs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tvm_memopt.errors import FrontendError


@dataclass(frozen=True, slots=True)
class SymbolicDim:
    """A dimension that stays symbolic. Memory is planned for its upper bound."""

    name: str
    upper_bound: int


Dim: TypeAlias = "int | SymbolicDim"
DeclaredDim: TypeAlias = "int | str | None"
"""A dimension as declared in a file: fixed, named, or unknown and unnamed."""

_SYMBOLIC = re.compile(r"([A-Za-z_]\w*):(\d+)")


def parse_shape(text: str) -> tuple[str, tuple[Dim, ...]]:
    """Parse ``x=1,3,224,224`` into (name, shape). ``x=n:128,64`` keeps n symbolic up to 128; ``x=`` is a scalar."""
    name, equals, dims = text.rpartition("=")
    name = name.strip()
    if not equals or not name:
        raise FrontendError(f"shape {text!r}: expected NAME=D0,D1,..., such as x=1,3,224,224")
    if not dims.strip():
        return name, ()
    return name, tuple(_parse_dim(text, dim.strip()) for dim in dims.split(","))


def parse_shapes(texts: Iterable[str]) -> dict[str, tuple[Dim, ...]]:
    """Parse shapes by input name. Raises FrontendError if a name is given twice."""
    shapes: dict[str, tuple[Dim, ...]] = {}
    for text in texts:
        name, shape = parse_shape(text)
        if name in shapes:
            raise FrontendError(f"shape {text!r}: input {name!r} was given a shape already")
        shapes[name] = shape
    return shapes


def _parse_dim(text: str, dim: str) -> Dim:
    symbolic = _SYMBOLIC.fullmatch(dim)
    digits = symbolic[2] if symbolic else dim
    if not (digits.isascii() and digits.isdigit() and int(digits) > 0):
        raise FrontendError(
            f"shape {text!r}: dimension {dim!r} is neither a positive integer nor NAME:UPPER_BOUND, such as n:128"
        )
    return SymbolicDim(symbolic[1], int(digits)) if symbolic else int(digits)


def resolve_shapes(
    given: Mapping[str, Sequence[Dim]],
    declared: Mapping[str, Sequence[DeclaredDim] | None],
    bounds: Mapping[str, int] | None = None,
    *,
    overridable: bool = False,
) -> dict[str, tuple[Dim, ...]]:
    """Resolve the full shape of every input in ``declared`` (None: its rank is unknown).

    A value given for a named dimension applies to that name in every input. A name in ``bounds`` may stay symbolic.
    ``overridable``: error messages suggest ``--override-shape`` for fixed dimensions. Raises FrontendError for unknown
    inputs, wrong ranks, fixed dimensions that disagree, and dynamic dimensions without a value.
    """
    for name, shape in given.items():
        _check_given(name, tuple(shape), declared, overridable)
    values: dict[str, Dim] = {name: SymbolicDim(name, bound) for name, bound in (bounds or {}).items()}
    values |= _named_values(given, declared)
    resolved = {name: _fill(given.get(name), dims, values) for name, dims in declared.items()}
    missing = [name for name, dims in resolved.items() if dims is None or None in dims]
    if missing:
        raise FrontendError(_missing_message({name: declared[name] for name in missing}, resolved))
    _check_one_bound_a_name(dim for dims in resolved.values() for dim in dims or ())
    return {name: tuple(d for d in dims or () if d is not None) for name, dims in resolved.items()}


def _check_given(
    name: str, shape: tuple[Dim, ...], declared: Mapping[str, Sequence[DeclaredDim] | None], overridable: bool
) -> None:
    if name not in declared:
        raise FrontendError(f"no input is named {name!r}; the inputs are {', '.join(map(repr, declared)) or 'none'}")
    dims = declared[name]
    if dims is None:
        return
    if len(shape) != len(dims):
        raise FrontendError(
            f"input {name!r} has {len(dims)} dimensions {show_dims(dims)}; the shape given has {len(shape)}"
        )
    for axis, (dim, fixed) in enumerate(zip(shape, dims, strict=True)):
        if isinstance(fixed, int) and dim != fixed:
            way_out = f"; to replace it, give --override-shape {name}={','.join(map(show_dim, shape))}"
            raise FrontendError(
                f"input {name!r}: dimension {axis} is fixed at {fixed} in the model, not {show_dim(dim)}"
                + (way_out if overridable else "")
            )


def _named_values(
    given: Mapping[str, Sequence[Dim]], declared: Mapping[str, Sequence[DeclaredDim] | None]
) -> dict[str, Dim]:
    values: dict[str, Dim] = {}
    for name, shape in given.items():
        for dim, label in zip(shape, declared[name] or (), strict=False):
            if isinstance(label, str):
                values.setdefault(label, dim)
    return values


def _fill(
    shape: Sequence[Dim] | None, dims: Sequence[DeclaredDim] | None, values: Mapping[str, Dim]
) -> tuple[Dim | None, ...] | None:
    if shape is not None:
        return tuple(shape)
    if dims is None:
        return None
    return tuple(values.get(dim) if isinstance(dim, str) else dim for dim in dims)


def _missing_message(
    declared: Mapping[str, Sequence[DeclaredDim] | None], resolved: Mapping[str, tuple[Dim | None, ...] | None]
) -> str:
    found, wanted = [], []
    for name, dims in declared.items():
        filled = resolved[name]
        if dims is None or filled is None:
            found.append(f"{name!r} (rank unknown)")
            wanted.append(f"--shape {name}=...")
            continue
        axes = [f"{axis} ({dims[axis] or 'unnamed'})" for axis, dim in enumerate(filled) if dim is None]
        found.append(f"{name!r} at dimension {', '.join(axes)}")
        wanted.append(f"--shape {name}={','.join('?' if dim is None else show_dim(dim) for dim in filled)}")
    return f"dynamic inputs without a shape: {'; '.join(found)}; give {' '.join(wanted)} with a number for each ?"


def _check_one_bound_a_name(dims: Iterable[Dim | None]) -> None:
    bounds: dict[str, int] = {}
    for dim in dims:
        if isinstance(dim, SymbolicDim) and bounds.setdefault(dim.name, dim.upper_bound) != dim.upper_bound:
            raise FrontendError(
                f"dimension {dim.name!r} was given two upper bounds: {bounds[dim.name]}, {dim.upper_bound}"
            )


def show_dim(dim: Dim) -> str:
    """Format a dimension in the syntax of ``--shape``."""
    return f"{dim.name}:{dim.upper_bound}" if isinstance(dim, SymbolicDim) else str(dim)


def show_dims(dims: Sequence[DeclaredDim]) -> str:
    """Format declared dimensions for an error message, with ``?`` for unnamed ones."""
    return "(" + ",".join("?" if dim is None else str(dim) for dim in dims) + ")"

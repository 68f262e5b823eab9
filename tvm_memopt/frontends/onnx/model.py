"""Import of ONNX models with TVM's own importer: unchanged if that works, otherwise folded to static shapes."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tvm_memopt.errors import FrontendError
from tvm_memopt.frontends.failures import locals_where, reason, run_importer, show_places
from tvm_memopt.frontends.onnx import file as onnx_file
from tvm_memopt.frontends.onnx.folding import FOLDERS
from tvm_memopt.frontends.onnx.rewrite import rewrite
from tvm_memopt.frontends.onnx.shapes import apply_shapes
from tvm_memopt.frontends.relax_types import main_function, tensor_dims, tensor_types, variables_in, with_upper_bounds
from tvm_memopt.frontends.shapes import Dim

if TYPE_CHECKING:
    import onnx
    import tvm
    from tvm import relax

logger = logging.getLogger(__name__)
_UNSUPPORTED = re.compile(r"not supported for frontend ONNX: (.+)|Operator (\w+) not implemented")


def read_model(
    path: Path, shapes: Mapping[str, Sequence[Dim]], overrides: Mapping[str, Sequence[Dim]] | None = None
) -> tvm.IRModule:
    """Import a model so that tensor sizes are known or follow from the symbolic dimensions in ``shapes``.

    Shapes in ``overrides`` also replace dimensions that the file fixes.
    """
    model = onnx_file.load(path)
    bounds = apply_shapes(model, shapes, overrides)
    mod = _convert_or_fold(model, frozenset(bounds))
    dims = [dim for parameter in main_function(mod).params for dim in tensor_dims(parameter.ty) or ()]
    symbolic = {name for dim in dims for name in variables_in(dim)}
    return with_upper_bounds(mod, {name: bound for name, bound in bounds.items() if name in symbolic})


@dataclass(frozen=True, slots=True)
class _Attempt:
    """The result of one way to import a model: a module with ``unknown`` tensors of unknown size, or a failure."""

    how: str
    mod: tvm.IRModule | None = None
    unknown: int = 0
    failure: str = ""
    folded: bool = True


def _convert_or_fold(model: onnx.ModelProto, symbolic: frozenset[str]) -> tvm.IRModule:
    attempts: list[_Attempt] = []
    for how, prepare in (("as it is", lambda unchanged: unchanged), *FOLDERS):
        attempt = _attempt(model, how, prepare, symbolic)
        logger.info("ONNX, %s: %s", how, attempt.failure or f"imported, {attempt.unknown} tensors of unknown size")
        if attempt.mod is not None and not attempt.unknown:
            return attempt.mod
        attempts.append(attempt)
    imported = [attempt for attempt in attempts if attempt.mod is not None]
    if not imported:
        raise FrontendError(_why_none(attempts))
    best = min(imported, key=lambda attempt: attempt.unknown)
    logger.warning("%d tensors have sizes that are known at run time only (import: %s)", best.unknown, best.how)
    return best.mod


def _attempt(
    model: onnx.ModelProto, how: str, prepare: Callable[[onnx.ModelProto], onnx.ModelProto], symbolic: frozenset[str]
) -> _Attempt:
    try:
        prepared = run_importer(lambda: prepare(model), reason)
    except FrontendError as error:
        return _Attempt(how, failure=str(error), folded=False)
    try:
        mod = _convert(prepared)
    except FrontendError as error:
        return _Attempt(how, failure=str(error))
    return _Attempt(how, mod, _count_unknown(mod, symbolic))


def _why_none(attempts: Sequence[_Attempt]) -> str:
    """The failure to report. If folding worked, it is the one after folding, which shows what TVM really lacks."""
    first, *later = attempts
    folded = [attempt for attempt in later if attempt.folded]
    if folded:
        return folded[0].failure
    not_folded = "; ".join(f"{attempt.how}: {attempt.failure}" for attempt in later)
    return f"{first.failure} (making its shapes static first did not work: {not_folded})"


def _convert(model: onnx.ModelProto) -> tvm.IRModule:
    from tvm.relax.frontend.onnx import from_onnx

    ready = run_importer(lambda: rewrite(model), lambda error: f"rewriting its operators failed: {reason(error)}")
    onnx_file.blank_empty_resize_inputs(ready)
    return run_importer(lambda: from_onnx(ready), lambda error: explain_failure(error, ready))


def _count_unknown(mod: tvm.IRModule, symbolic: frozenset[str]) -> int:
    """Tensors in ``main`` whose size does not follow from the inputs' shapes."""
    from tvm import relax

    seen: dict[str, bool] = {}

    def visit(expression: relax.Expr) -> None:
        if isinstance(expression, relax.Var):
            seen[str(expression)] = all(_known(type_, symbolic) for type_ in tensor_types(expression.ty))

    relax.analysis.post_order_visit(main_function(mod), visit)
    return sum(not known for known in seen.values())


def _known(type_: relax.TensorType, symbolic: frozenset[str]) -> bool:
    dims = tensor_dims(type_)
    return dims is not None and all(variables_in(dim) <= symbolic for dim in dims)


def explain_failure(error: Exception, model: onnx.ModelProto) -> str:
    """One line for a failure of TVM's importer, with the nodes at fault where they are known."""
    if found := _UNSUPPORTED.search(str(error)):
        named = set((found[1] or found[2]).split(", "))
        places = [onnx_file.place(node) for node in onnx_file.nodes(model) if node.op_type in named]
        return f"TVM's ONNX importer does not support {show_places(places)}"
    scopes = [locals_where(error, function) for function in ("_convert_subgraph", "_construct_nodes")]
    failed = [onnx_file.place(scope["node"]) for scope in scopes if "node" in scope]
    if failed:
        return f"TVM's ONNX importer failed on {show_places(failed[:1])}: {reason(error)}"
    return f"TVM's ONNX importer failed: {reason(error)}"

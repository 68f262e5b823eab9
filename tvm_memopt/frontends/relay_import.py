"""Import of ONNX and TFLite files as Relay modules with fixed shapes, for TVM 0.19 and earlier."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvm_memopt.errors import FrontendError
from tvm_memopt.frontends import tflite_import
from tvm_memopt.frontends.failures import reason, run_importer
from tvm_memopt.frontends.formats import detect_format
from tvm_memopt.frontends.inputs import INTEGER_LIMIT, InputDocument
from tvm_memopt.frontends.onnx import file as onnx_file
from tvm_memopt.frontends.onnx.model import explain_failure
from tvm_memopt.frontends.onnx.shapes import apply_shapes
from tvm_memopt.frontends.shapes import Dim
from tvm_memopt.native_output import native_stderr_discarded

if TYPE_CHECKING:
    import tvm

_NAMES = {
    "torch-export": "a torch.export program",
    "relax-script": "a Relax module (TVMScript)",
    "relax-json": "a Relax module (JSON)",
}
_OTHER_FILES = {"memopt-graph": ("graph", "'tvm-memopt plan'"), "memopt-plan": ("plan", "'tvm-memopt show'")}
_LOOK_UPS = frozenset({"take", "gather", "gather_nd"})


def import_relay(
    path: str | os.PathLike[str],
    shapes: Mapping[str, Sequence[Dim]] | None = None,
    override_shapes: Mapping[str, Sequence[Dim]] | None = None,
) -> tvm.IRModule:
    """Import the ONNX or TFLite model in ``path`` as a Relay module whose ``main`` has the model's inputs alone.

    ``shapes``: by input name, values for dynamic dimensions. ``override_shapes``: by input name, shapes that also
    replace dimensions fixed in the model (ONNX only). Raises FrontendError with one line that names the file and the
    operator or input at fault.
    """
    file = Path(path)
    kind = detect_format(file)
    _check_kind(file, kind)
    try:
        if kind == "onnx":
            return _read_onnx(file, shapes or {}, override_shapes or {})
        if override_shapes:
            raise FrontendError("input shapes can be overridden in ONNX models only; export the model again")
        return _read_tflite(file, shapes or {})
    except FrontendError as error:
        raise FrontendError(f"{file}: {error}") from error.__cause__
    except OSError as error:
        raise FrontendError(f"{file}: cannot be read: {error.strerror or error}") from error


def _check_kind(file: Path, kind: str) -> None:
    if kind in _OTHER_FILES:
        what, use = _OTHER_FILES[kind]
        raise FrontendError(f"{file}: is a memory {what} ({kind}/1 JSON), not a model; it can be given to {use}")
    if kind in _NAMES:
        raise FrontendError(
            f"{file}: is {_NAMES[kind]}, which needs Relax; Relay reads ONNX and TFLite files: export the model as one "
            "of them, or use apache-tvm 0.27 or later in an environment of its own"
        )


def _read_onnx(file: Path, shapes: Mapping[str, Sequence[Dim]], overrides: Mapping[str, Sequence[Dim]]) -> tvm.IRModule:
    model = onnx_file.load(file)
    if symbolic := apply_shapes(model, shapes, overrides):
        name, bound = next(iter(symbolic.items()))
        raise FrontendError(f"dimension {name}:{bound} would stay symbolic, but Relay's plans have fixed sizes: give "
                            f"a number, such as {bound}")  # fmt: skip

    def convert() -> Any:
        from tvm.relay.frontend import from_onnx

        return from_onnx(model, freeze_params=True)

    mod, params = _quietly(convert, lambda error: explain_failure(error, model))
    return _bound(mod, params)


def _read_tflite(file: Path, shapes: Mapping[str, Sequence[Dim]]) -> tvm.IRModule:
    model, shape_by_input = tflite_import.read_flatbuffer(file, shapes)

    def convert() -> Any:
        from tvm.relay.frontend import from_tflite

        return from_tflite(model, shape_dict=dict(shape_by_input))

    mod, params = _quietly(convert, lambda error: tflite_import.explain_failure(error, model))
    return _bound(mod, params)


def _quietly(convert: Callable[[], Any], explain: Callable[[Exception], str]) -> Any:
    """Run an importer without the diagnostics that TVM prints below Python."""
    with native_stderr_discarded():
        return run_importer(convert, explain)


def _bound(mod: tvm.IRModule, params: Mapping[str, Any]) -> tvm.IRModule:
    """The typed module with ``params`` as constants."""
    from tvm import relay

    if params:
        mod["main"] = relay.build_module.bind_params_by_name(mod["main"], dict(params))
    return _quietly(lambda: relay.transform.InferType()(mod), lambda error: f"the module has no types: {reason(error)}")


def describe_relay_inputs(mod: tvm.IRModule) -> list[InputDocument]:
    """Name, shape, dtype and integer limit of each input of ``main``, ready for JSON.

    Raises FrontendError for an input that is no tensor of fixed shape.
    """
    from tvm import relay, tir

    limit = min([INTEGER_LIMIT, *_table_rows(mod["main"])])
    found: list[InputDocument] = []
    for parameter in mod["main"].params:
        kind, name = parameter.checked_type, str(parameter.name_hint)
        if not isinstance(kind, relay.TensorType) or not all(isinstance(d, tir.IntImm) for d in kind.shape):
            raise FrontendError(f"input {name!r} of main is {kind}, expected a tensor of fixed shape: give --shape")
        shape = tuple(int(d) for d in kind.shape)
        found.append({"name": name, "shape": shape, "dtype": str(kind.dtype), "limit": limit})
    return found


def _table_rows(main: Any) -> list[int]:
    """The shortest axis of each table that the function looks values up in: below it, every index is safe."""
    from tvm import relay, tir

    rows: list[int] = []

    def visit(node: Any) -> None:
        if isinstance(node, relay.Call) and getattr(node.op, "name", None) in _LOOK_UPS:
            shape = node.args[0].checked_type.shape
            rows.append(min((int(d) if isinstance(d, tir.IntImm) else 1 for d in shape), default=1))

    relay.analysis.post_order_visit(main, visit)
    return rows


def unknown_sizes(mod: tvm.IRModule) -> list[str]:
    """The operators of ``main`` whose results have sizes that are known only at run time."""
    from tvm import relay

    names: list[str] = []

    def visit(node: Any) -> None:
        if isinstance(node, relay.Call) and relay.ty.is_dynamic(node.checked_type):
            names.append(str(getattr(node.op, "name", "a function")))

    relay.analysis.post_order_visit(mod["main"], visit)
    return list(dict.fromkeys(names))

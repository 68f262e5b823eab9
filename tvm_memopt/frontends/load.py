"""Import of model files of every format into a well-formed Relax module."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from tvm_memopt.errors import FrontendError
from tvm_memopt.frontends import relax_import, tflite_import, torch_import
from tvm_memopt.frontends.failures import reason
from tvm_memopt.frontends.formats import MODEL_FORMATS, detect_format
from tvm_memopt.frontends.onnx import model as onnx_import
from tvm_memopt.frontends.shapes import Dim

if TYPE_CHECKING:
    import tvm

Reader: TypeAlias = "Callable[[Path, Mapping[str, Sequence[Dim]]], tvm.IRModule]"

_OTHER_READERS: dict[str, Reader] = {
    "tflite": tflite_import.read_model,
    "torch-export": torch_import.read_model,
    "relax-script": relax_import.read_script,
    "relax-json": relax_import.read_json,
}


def import_model(
    path: str | os.PathLike[str],
    shapes: Mapping[str, Sequence[Dim]] | None = None,
    override_shapes: Mapping[str, Sequence[Dim]] | None = None,
) -> tvm.IRModule:
    """Import the model in ``path`` as a module with a function ``main``.

    ``shapes``: by input name, values for dynamic dimensions. ``override_shapes``: by input name, shapes that also
    replace dimensions fixed in the model (ONNX only). Raises FrontendError with one line that names the file and the
    operator, input or key at fault.
    """
    file = Path(path)
    kind = detect_format(file)
    if kind not in MODEL_FORMATS:
        what, use = ("graph", "'tvm-memopt plan'") if kind == "memopt-graph" else ("plan", "'tvm-memopt show'")
        raise FrontendError(f"{file}: is a memory {what} ({kind}/1 JSON), not a model; it can be given to {use}")
    try:
        mod = _read(kind, file, shapes or {}, override_shapes or {})
        _check_well_formed(mod)
    except FrontendError as error:
        raise FrontendError(f"{file}: {error}") from error.__cause__
    except OSError as error:
        raise FrontendError(f"{file}: cannot be read: {error.strerror or error}") from error
    return mod


def _read(
    kind: str, file: Path, shapes: Mapping[str, Sequence[Dim]], overrides: Mapping[str, Sequence[Dim]]
) -> tvm.IRModule:
    if kind == "onnx":
        return onnx_import.read_model(file, shapes, overrides)
    if overrides:
        raise FrontendError("input shapes can be overridden in ONNX models only; export the model with the new shape")
    return _OTHER_READERS[kind](file, shapes)


def _check_well_formed(mod: tvm.IRModule) -> None:
    from tvm import relax

    try:
        relax.analysis.well_formed(mod)
    except Exception as error:
        raise FrontendError(f"the imported module breaks a rule of Relax: {reason(error)}") from None

"""One door for every model format: a file becomes a well-formed Relax module with static inputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from tvm_memopt.errors import FrontendError
from tvm_memopt.frontends import onnx_import, relax_import, tflite_import, torch_import
from tvm_memopt.frontends.failures import reason
from tvm_memopt.frontends.formats import detect_format
from tvm_memopt.frontends.shapes import Dim

if TYPE_CHECKING:
    import tvm

Reader: TypeAlias = "Callable[[Path, Mapping[str, Sequence[Dim]]], tvm.IRModule]"

_READERS: dict[str, Reader] = {
    "onnx": onnx_import.read_model,
    "tflite": tflite_import.read_model,
    "torch-export": torch_import.read_model,
    "relax-script": relax_import.read_script,
    "relax-json": relax_import.read_json,
}


def import_model(path: str | os.PathLike[str], shapes: Mapping[str, Sequence[Dim]] | None = None) -> tvm.IRModule:
    """The model in ``path`` as a module with a function ``main``; ``shapes`` fills in dynamic inputs by name.

    Raises FrontendError, one line that names the file and the operator, input or key at fault.
    """
    file = Path(path)
    kind = detect_format(file)
    if kind not in _READERS:
        what, use = ("graph", "'tvm-memopt plan'") if kind == "memopt-graph" else ("plan", "'tvm-memopt show'")
        raise FrontendError(f"{file}: is a memory {what} ({kind}/1 JSON), not a model; it can be given to {use}")
    try:
        mod = _READERS[kind](file, shapes or {})
        _check_well_formed(mod)
    except FrontendError as error:
        raise FrontendError(f"{file}: {error}") from error.__cause__
    except OSError as error:
        raise FrontendError(f"{file}: cannot be read: {error.strerror or error}") from error
    return mod


def _check_well_formed(mod: tvm.IRModule) -> None:
    from tvm import relax

    try:
        relax.analysis.well_formed(mod)
    except Exception as error:
        raise FrontendError(f"the imported module breaks a rule of Relax: {reason(error)}") from None

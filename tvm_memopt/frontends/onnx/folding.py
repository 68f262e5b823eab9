"""Conversion of ONNX models to static shapes: libraries fold chains of computed shapes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tvm_memopt.frontends.failures import require
from tvm_memopt.frontends.onnx.file import INSTALL

if TYPE_CHECKING:
    import onnx

_INLINE_NBYTES = 1 << 30
"""Protocol buffers are limited to 2 GiB, so weights of larger models go to a side file."""
_ONLY_FATAL = 4


def fold_with_onnxruntime(model: onnx.ModelProto) -> onnx.ModelProto:
    """Apply ONNX Runtime's basic optimisations, which produce only standard operators."""
    onnx, runtime = require("onnx", INSTALL), require("onnxruntime", INSTALL)
    large = model.ByteSize() > _INLINE_NBYTES
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = _ONLY_FATAL
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory(prefix="memopt-fold-") as folder:
        before, after = Path(folder, "before.onnx"), Path(folder, "after.onnx")
        onnx.save(model, before, save_as_external_data=large, location="before.data" if large else None)
        options.optimized_model_filepath = str(after)
        if large:
            options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "after.data")
        runtime.InferenceSession(str(before), options, providers=["CPUExecutionProvider"])
        return onnx.load(after)


def fold_with_onnxslim(model: onnx.ModelProto) -> onnx.ModelProto:
    """Apply onnxslim, for models that ONNX Runtime cannot load."""
    onnxslim = require("onnxslim", INSTALL)
    return onnxslim.slim(model)


FOLDERS: tuple[tuple[str, Callable[[onnx.ModelProto], onnx.ModelProto]], ...] = (
    ("folded by onnxruntime", fold_with_onnxruntime),
    ("folded by onnxslim", fold_with_onnxslim),
)

"""Reference outputs of a model, computed by its source framework."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def reference_outputs(path: Path, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """Outputs of onnxruntime, the TFLite interpreter or torch, in the order in which Relax returns them."""
    return {".onnx": _onnxruntime, ".tflite": _litert, ".pt2": _torch}[path.suffix](path, inputs)


def _onnxruntime(path: Path, inputs: list[np.ndarray]) -> list[np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_inputs()]
    return [np.asarray(value) for value in session.run(None, dict(zip(names, inputs, strict=True)))]


def _litert(path: Path, inputs: list[np.ndarray]) -> list[np.ndarray]:
    import tflite
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_path=str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    interpreter.allocate_tensors()
    for detail, value in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    order = tflite.Model.GetRootAsModel(path.read_bytes(), 0).Subgraphs(0).OutputsAsNumpy()
    return [interpreter.get_tensor(int(index)) for index in order]


def _torch(path: Path, inputs: list[np.ndarray]) -> list[np.ndarray]:
    import torch
    from torch.utils import _pytree as pytree

    program = torch.export.load(path)
    with torch.no_grad():
        result = program.module()(*[torch.from_numpy(value) for value in inputs])
    return [value.numpy() for value in pytree.tree_leaves(result)]

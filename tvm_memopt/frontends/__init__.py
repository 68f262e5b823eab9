"""Import of models into Relax: ONNX, TFLite, ``torch.export`` programs, TVMScript text and Relax JSON."""

from tvm_memopt.frontends.formats import MODEL_FORMATS, detect_format
from tvm_memopt.frontends.inputs import ModelInput, model_inputs, random_inputs
from tvm_memopt.frontends.load import import_model
from tvm_memopt.frontends.shapes import SymbolicDim, parse_shape, parse_shapes

__all__ = [
    "MODEL_FORMATS",
    "ModelInput",
    "SymbolicDim",
    "detect_format",
    "import_model",
    "model_inputs",
    "parse_shape",
    "parse_shapes",
    "random_inputs",
]

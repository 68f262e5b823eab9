"""The benchmark set: real networks from Python packages, and public architectures with seeded weights.

``MODELS`` maps a name to its ZooModel. Models are imported, fetched and built only on request. ``TRAINING`` holds
training steps, which are not part of the set.
"""

from __future__ import annotations

import numpy as np

from benchmarks.zoo import (
    light_models,
    onnx_models,
    own_models,
    tflite_models,
    torch_models,
    trained_torch_models,
    transformers_models,
)
from benchmarks.zoo.model import Input, ZooError, ZooModel
from benchmarks.zoo.training import TRAINING, TrainingModel

__all__ = ["MODELS", "TRAINING", "Input", "TrainingModel", "ZooError", "ZooModel", "available", "load_inputs"]

_FAMILIES = (
    onnx_models,
    tflite_models,
    trained_torch_models,
    light_models,
    own_models,
    torch_models,
    transformers_models,
)
MODELS: dict[str, ZooModel] = {model.name: model for module in _FAMILIES for model in module.MODELS}


def load_inputs(name: str, seed: int = 0) -> list[np.ndarray]:
    """Random inputs of a model, in the order of its main function's parameters; the same seed gives the same arrays."""
    rng = np.random.default_rng(seed)
    return [item.draw(rng) for item in (TRAINING[name] if name in TRAINING else MODELS[name]).inputs]


def available(name: str) -> str | None:
    """None when the model can be had here, else one line that says why not and what to install."""
    return MODELS[name].missing()

"""A small network with two branches, so that there is something to plan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import helper

from tests.frontends.onnx.models import save, value


def two_branches(path: Path, batch: int | str = 1, input_name: str = "image") -> Path:
    """A stem, two convolutions over it, each pooled to 4x4, their sum; then softmax over channels and the mean."""
    random = np.random.default_rng(0)
    shapes = {"stem_w": (8, 3, 3, 3), "left_w": (16, 8, 3, 3), "right_w": (16, 8, 3, 3)}
    weights = {name: random.standard_normal(shape).astype("float32") for name, shape in shapes.items()}
    pool = {"kernel_shape": [4, 4], "strides": [4, 4]}
    nodes = [
        helper.make_node("Conv", [input_name, "stem_w"], ["stem"], "stem", pads=[1] * 4),
        helper.make_node("Conv", ["stem", "left_w"], ["left"], "left", pads=[1] * 4),
        helper.make_node("Conv", ["stem", "right_w"], ["right"], "right", pads=[1] * 4),
        helper.make_node("MaxPool", ["left"], ["left_small"], "left_pool", **pool),
        helper.make_node("MaxPool", ["right"], ["right_small"], "right_pool", **pool),
        helper.make_node("Add", ["left_small", "right_small"], ["joined"], "join"),
        helper.make_node("Softmax", ["joined"], ["shares"], "softmax", axis=1),
        helper.make_node("GlobalAveragePool", ["shares"], ["logits"], "mean"),
    ]
    inputs, outputs = [value(input_name, [batch, 3, 16, 16])], [value("logits", [batch, 16, 1, 1])]
    return save(path, nodes, inputs, outputs, weights=weights)

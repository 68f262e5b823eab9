"""Bytes of a model's tensors by element type, and TFLite Micro's arena for the same model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tvm_memopt.passes.relax.plan_function import FunctionPlan


def sizes(model: str, found: FunctionPlan) -> tuple[dict[str, object], list[str]]:
    """What a command adds to its document, and its lines, which a float32 model has none of."""
    from tvm_memopt.passes.relax.type_sizes import has_narrow_types, nbytes_by_type

    by_type = nbytes_by_type(found.extraction)
    document: dict[str, object] = {"bytes_by_type": by_type}
    lines = type_lines(by_type, Path(model).stat().st_size) if has_narrow_types(by_type) else []
    if Path(model).suffix == ".tflite" and (head := _tflite_micro_head(model)) is not None:
        document["tflite_micro_head_nbytes"] = head
        lines.append(f"TFLite Micro's arena without its own records: {head:,} bytes, inputs and outputs inside")
    return document, lines


def type_lines(by_type: Mapping[str, Mapping[str, int]], file_nbytes: int) -> list[str]:
    """One line for the activations and one for the weights, with their bytes by element type."""
    shown = {kind: ", ".join(f"{name} {nbytes:,}" for name, nbytes in of.items()) for kind, of in by_type.items()}
    beside = {"weights": f" (the model's file: {file_nbytes:,})"}
    return [f"bytes of {kind}: {text}{beside.get(kind, '')}" for kind, text in shown.items() if text]


def _tflite_micro_head(model: str) -> int | None:
    from tvm_memopt.runtime.tflite_micro import tflite_micro_head

    return tflite_micro_head(model)

"""Reading what a command was given: a graph, or a model that becomes one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm_memopt.cli.console import stage
from tvm_memopt.errors import FrontendError
from tvm_memopt.graph import Graph, read_graph


def read_graph_if_given(path: str) -> Graph | None:
    """The graph in ``path``, or None when it holds a model. Raises for neither."""
    from tvm_memopt.frontends import detect_format

    return read_graph(path) if detect_format(path) == "memopt-graph" else None


def import_for_command(path: str, shapes: Sequence[str]) -> Any:
    """The Relax module of a model file, with the given input shapes."""
    from tvm_memopt.frontends import detect_format, import_model, parse_shapes

    if detect_format(path) == "memopt-graph":
        raise FrontendError(f"{path}: is a graph, expected a model (ONNX, TFLite, .pt2 or Relax)")
    with stage(f"importing {path}"):
        return import_model(path, parse_shapes(shapes))

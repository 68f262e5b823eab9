"""Import of ``torch.export`` programs (``.pt2`` files) with TVM's own importer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tvm_memopt.frontends.failures import locals_where, reason, require, run_importer, show_places
from tvm_memopt.frontends.relax_types import specialise
from tvm_memopt.frontends.shapes import Dim

if TYPE_CHECKING:
    import torch
    import tvm

_INSTALL = "pip install torch"  # the CPU build suffices


def read_model(path: Path, shapes: Mapping[str, Sequence[Dim]]) -> tvm.IRModule:
    """Import an exported program with weights as constants. ``shapes`` fixes its dynamic dimensions."""
    torch = require("torch", _INSTALL)
    program = run_importer(
        lambda: torch.export.load(path), lambda error: f"not a readable torch.export program: {reason(error)}"
    )
    return specialise(run_importer(lambda: _convert(program), _explain), shapes)


def _convert(program: torch.export.ExportedProgram) -> tvm.IRModule:
    from tvm.relax.frontend.torch import from_exported_program

    return from_exported_program(program)


def _explain(error: Exception) -> str:
    if unsupported := _unsupported_nodes(error):
        return f"TVM's torch importer does not support {unsupported}"
    node = locals_where(error, "_translate_fx_graph").get("node")
    if node is not None:
        return f"TVM's torch importer failed on {show_places([_place(node)])}: {reason(error)}"
    return f"TVM's torch importer failed: {reason(error)}"


def _unsupported_nodes(error: Exception) -> str:
    """The nodes without a converter in TVM. Its error gives only their functions, so they are read from its frame."""
    scope = locals_where(error, "_check_unsupported_func_type")
    missing = set(scope.get("missing_func_types", ()))
    calls = [node for node in scope.get("nodes", ()) if node.op == "call_function"]
    return show_places(_place(node) for node in calls if node.target.__name__ in missing)


def _place(node: torch.fx.Node) -> tuple[str, str]:
    return str(getattr(node.target, "__name__", node.target)), f"node {node.name!r}"

"""What a program's file says about it: inputs, outputs, calls and the plan, as JSON in a section of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tvm_memopt.errors import MemoptError
from tvm_memopt.export.program import StaticProgram, Value, View
from tvm_memopt.export.source import DOCUMENT_SECTION
from tvm_memopt.passes.relax.documents import GRAPH_ATTR, PLAN_ATTR
from tvm_memopt.targets.elf import section

if TYPE_CHECKING:
    from tvm import relax

FORMAT = "memopt-program/1"


def program_document(program: StaticProgram, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The document. ``metadata``: other keys to keep."""
    return {
        **metadata,
        "format": FORMAT,
        "function": program.name,
        "inputs": [_described(value) for value in program.inputs],
        "outputs": [_described(value) for value in program.output_values],
        "arena_nbytes": program.arena_nbytes,
        "storage_nbytes": list(program.storages),
        "weight_nbytes": sum(int(array.nbytes) for array in program.constants),
        "calls": [
            {"kernel": call.kernel, "nbytes": [a.nbytes if isinstance(a, View) else 0 for a in call.arguments]}
            for call in program.calls
        ],
    }


def planned_documents(function: relax.Function) -> dict[str, Any]:
    """The graph and the plan of a function, if it has them."""
    attrs = function.attrs
    if attrs is None or PLAN_ATTR not in attrs:
        return {}
    return {"graph": json.loads(str(attrs[GRAPH_ATTR])), "plan": json.loads(str(attrs[PLAN_ATTR]))}


def read_document(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The document of a program's file. Raises MemoptError if it has none."""
    content = section(path, DOCUMENT_SECTION)
    if content is None:
        raise MemoptError(f"{os.fspath(path)}: is not a program made by `tvm-memopt optimize -o PROGRAM.elf`")
    document = json.loads(content.rstrip(b"\0"))
    if document.get("format") != FORMAT:
        raise MemoptError(f"{os.fspath(path)}: its format is {document.get('format')!r}, expected {FORMAT!r}")
    return dict(document)


def values(described: list[dict[str, Any]]) -> list[Value]:
    """The inputs or outputs of a document."""
    return [Value(value["name"], tuple(value["shape"]), value["dtype"]) for value in described]


def _described(value: Value) -> dict[str, Any]:
    return {"name": value.name, "shape": list(value.shape), "dtype": value.dtype}

"""Import of Relax modules from TVMScript text and from JSON, as written by TVM."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tvm_memopt.errors import FrontendError
from tvm_memopt.frontends.failures import reason, run_importer
from tvm_memopt.frontends.relax_types import specialise
from tvm_memopt.frontends.shapes import Dim

if TYPE_CHECKING:
    import tvm


def read_script(path: Path, shapes: Mapping[str, Sequence[Dim]]) -> tvm.IRModule:
    """Read a module from the text of ``mod.script(show_meta=True)``. Imports are allowed; no other code is run."""
    import tvm

    text = _read_text(path)
    if "metadata[" in text and "metadata = " not in text:
        raise FrontendError("the text leaves its constants out; write it with mod.script(show_meta=True)")
    source, names = _script_only(text)
    parsed = run_importer(
        lambda: tvm.script.from_source(source, extra_vars=_script_names(names)),
        lambda error: f"not valid TVMScript: {reason(error)}{_line_of(error)}",
    )
    return specialise(_as_module(parsed), shapes)


def read_json(path: Path, shapes: Mapping[str, Sequence[Dim]]) -> tvm.IRModule:
    """Read a module from the text of ``tvm.ir.save_json(mod)``."""
    import tvm

    text = _read_text(path)
    loaded = run_importer(
        lambda: tvm.ir.load_json(text), lambda error: f"not a module saved by tvm.ir.save_json: {reason(error)}"
    )
    return specialise(_as_module(loaded), shapes)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FrontendError(f"expected UTF-8 text, found a byte that is not at offset {error.start}") from None


def _as_module(loaded: object) -> tvm.IRModule:
    import tvm
    from tvm import relax

    if isinstance(loaded, relax.Function):
        return tvm.IRModule({"main": loaded})
    if isinstance(loaded, tvm.IRModule):
        return loaded
    raise FrontendError(f"holds a {type(loaded).__name__}; expected an IRModule or a Relax function")


def _script_only(text: str) -> tuple[str, dict[str, str]]:
    """The text with imports and docstrings blanked, and the imported TVMScript dialects by local name."""
    try:
        statements = ast.parse(text).body
    except SyntaxError as error:
        raise FrontendError(f"not valid TVMScript: {error.msg} (line {error.lineno})") from None
    if not any(isinstance(statement, ast.ClassDef | ast.FunctionDef) for statement in statements):
        raise FrontendError("not TVMScript: it holds neither an @I.ir_module class nor an @R.function")
    lines, names = text.splitlines(), dict[str, str]()
    for statement in statements:
        if not isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.Assign):
            first, last = statement.lineno - 1, statement.end_lineno or statement.lineno
            lines[first:last] = [""] * (last - first)
        if isinstance(statement, ast.ImportFrom) and statement.module == "tvm.script":
            names |= {alias.asname or alias.name: alias.name for alias in statement.names}
    return "\n".join(lines) + "\n", names


def _script_names(names: Mapping[str, str]) -> dict[str, object]:
    import tvm
    from tvm import script
    from tvm.script import ir, relax, tirx

    known = {"tvm": tvm, "ir": ir, "I": ir, "relax": relax, "R": relax, "tirx": tirx, "T": tirx, "TypeVar": TypeVar}
    return known | {local: getattr(script, dialect) for local, dialect in names.items() if hasattr(script, dialect)}


def _line_of(error: Exception) -> str:
    """The line of an error. TVM's diagnostics give it on their second line, as `` --> <str>:12:52``."""
    places = [line.split(":") for line in str(error).splitlines() if line.strip().startswith("-->")]
    return f" (line {places[0][1]})" if places and len(places[0]) > 1 else ""

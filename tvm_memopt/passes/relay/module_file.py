"""Compiled Relay modules as files: a shared library, and beside it a JSON file that says what it is."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tvm

from tvm_memopt.atomic import atomic_path, write_text_atomic
from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import graph_to_json, plan_to_json
from tvm_memopt.native_output import native_stderr_discarded
from tvm_memopt.passes.relay.build import RelayBuild
from tvm_memopt.passes.relay.storage import stated_nbytes
from tvm_memopt.targets.toolchain import link_error

FORMAT = "memopt-relay-module/1"


def sidecar_path(path: str | os.PathLike[str]) -> Path:
    """The JSON file of a module: its name with ``.json`` added."""
    return Path(f"{os.fspath(path)}.json")


def export_factory(factory: Any, path: str | os.PathLike[str], linker: Callable[..., Any] | None = None) -> None:
    """Link what ``relay.build`` or ``relay.vm.compile`` returned into a shared library, by atomic rename.

    ``linker``: for another machine; None for this one. Raises MemoptError if no compiler is found or it fails.
    """
    library = getattr(factory, "mod", factory) if hasattr(factory, "bytecode") else factory
    given = {} if linker is None else {"fcompile": linker}
    with atomic_path(path) as temporary:
        try:
            with native_stderr_discarded():
                library.export_library(str(temporary), **given)
        except RuntimeError as error:
            raise MemoptError(f"{os.fspath(path)}: linking failed: {link_error(error)}") from None


def write_sidecar(
    path: str | os.PathLike[str], built: RelayBuild, target: Any, inputs: Sequence[Mapping[str, Any]]
) -> None:
    """Describe the module in ``path``, which exists, for ``tvm-memopt run``."""
    write_text_atomic(sidecar_path(path), json.dumps(_document(path, built, target, inputs), separators=(",", ":")))


def _document(
    path: str | os.PathLike[str], built: RelayBuild, target: Any, inputs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    from tvm_memopt import __version__

    functions = {}
    if built.planned is not None:
        graph, plan = built.planned.graph, built.planned.plan
        functions["main"] = {"graph": json.loads(graph_to_json(graph)), "plan": json.loads(plan_to_json(plan))}
    return {
        "format": FORMAT,
        "module_sha256": _digest(Path(path)),
        "executor": built.executor,
        "target": str(target),
        "inputs": [dict(value) for value in inputs],
        "memory": memory_of(built),
        "notes": list(built.notes),
        "functions": functions,
        "versions": {"tvm-memopt": __version__, "tvm": str(tvm.__version__)},
    }


def memory_of(built: RelayBuild) -> dict[str, int]:
    """Bytes of a planned build by kind: the pools of ``aot``, the storages of ``graph``. Empty for ``vm``."""
    if built.pools is not None:
        return dict(built.pools.pools)
    return {} if built.storage is None else {"storages": built.storage.nbytes}


def memory_unmodified(factory: Any, executor: str) -> dict[str, int]:
    """Bytes of TVM's own build by kind. Its ahead-of-time executor has no pools, but an estimate of what it needs.

    The estimate includes the outputs, and leaves out the lanes of vector buffers.
    """
    if executor == "graph":
        return {"storages": stated_nbytes(factory)}
    if executor == "vm":
        return {}
    sizes = factory.function_metadata["__tvm_main__"].workspace_sizes
    return {"workspace_estimate": max((int(size) for size in sizes.values()), default=0)}


def read_sidecar(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The description of the module in ``path``.

    Raises MemoptError if it is missing, unreadable, or of another module.
    """
    beside = sidecar_path(path)
    try:
        document = json.loads(beside.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MemoptError(
            f"{os.fspath(path)}: {beside.name} is missing beside it: expected a module and its JSON file, both made by "
            "`tvm-memopt optimize --frontend relay`; copy the two together"
        ) from None
    except (OSError, ValueError) as error:
        raise MemoptError(f"{beside}: cannot be read: {error}; make the module again") from None
    found = document.get("format") if isinstance(document, dict) else None
    if found != FORMAT:
        raise MemoptError(f"{beside}: its format is {found!r}, expected {FORMAT!r}; make the module again")
    if document.get("module_sha256") != _digest(Path(path)):
        raise MemoptError(f"{beside}: describes another module than {os.fspath(path)}; make the module again")
    return dict(document)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.sha256(file.read()).hexdigest()

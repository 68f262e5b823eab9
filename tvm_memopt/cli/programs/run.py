"""``tvm-memopt run PROGRAM.elf``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from tvm_memopt.cli.console import emit, stage

if TYPE_CHECKING:
    import numpy as np
    import tvm

    from tvm_memopt.frontends.inputs import InputDocument
    from tvm_memopt.targets.rpc import Device

Import = Callable[[str, str, Sequence["InputDocument"], int], "tuple[tvm.IRModule, list[np.ndarray]]"]


def run_program(
    device: Device | None, path: str, against: str | None, seed: int, import_against: Import, as_json: bool
) -> None:
    """Run the program, and the unmodified build of ``against`` if given. The exit status is 1 if anything differs."""
    from tvm_memopt.cli.programs.compare import compare_programs
    from tvm_memopt.export.document import read_document, values
    from tvm_memopt.frontends.inputs import INTEGER_LIMIT, described_arrays
    from tvm_memopt.passes.compile import make_target

    document = read_document(path)
    limits = document.get("limits", {})
    described: list[InputDocument] = [
        {"name": v.name, "shape": v.shape, "dtype": v.dtype, "limit": limits.get(v.name, INTEGER_LIMIT)}
        for v in values(document["inputs"])
    ]
    if against is None:
        mod, inputs = None, described_arrays(described, seed)
    else:
        mod, inputs = import_against(against, path, described, seed)
    with stage("running"):
        found = compare_programs(path, mod, make_target(str(document["target"])), inputs, device)
    emit(as_json, found.document(), found.text())
    if found.outputs_equal is False or found.as_planned is False:
        raise click.exceptions.Exit(1)

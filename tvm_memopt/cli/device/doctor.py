"""``tvm-memopt doctor``: check the way to a device."""

from __future__ import annotations

from dataclasses import asdict

import click

from tvm_memopt.cli.console import emit
from tvm_memopt.cli.options import json_option
from tvm_memopt.cli.rpc import named_device, rpc_options

_MARKS = {True: "ok", False: "FAIL", None: "-"}


@click.command("doctor")
@rpc_options
@click.option("--target", metavar="T", help="TVM target of the device; default: this machine's.")
@click.option("--cc", metavar="COMPILER", help="Cross compiler that links for the target.")
@json_option
def command(
    rpc: str | None, tracker: str | None, key: str | None, target: str | None, cc: str | None, as_json: bool
) -> None:
    """Check TVM, the cross compiler, the emulator, the tracker, the device and a trivial kernel on it.

    Each line is a check that passed, or says what to do. The exit status is 1 if one failed.

    \b
    Example:
      tvm-memopt doctor --tracker 127.0.0.1:9190 --key emulator \\
        --target '{"kind": "llvm", "mtriple": "aarch64-linux-gnu"}'
    """
    from tvm_memopt.passes.versions import require_relax

    device = named_device(rpc, tracker, key)
    require_relax()
    from tvm_memopt.passes.compile import make_target
    from tvm_memopt.targets.doctor import examine

    findings = list(examine(device, None if target is None else make_target(target), cc))
    lines = [f"{_MARKS[found.passed]:4} {found.name}: {found.text}" for found in findings]
    emit(as_json, {"findings": [asdict(found) for found in findings]}, "\n".join(lines))
    if any(found.passed is False for found in findings):
        raise click.exceptions.Exit(1)

"""``tvm-memopt run MODULE.so [--against MODEL]``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvm_memopt.cli.console import emit, stage
from tvm_memopt.cli.frontend import choose_frontend
from tvm_memopt.cli.options import frontend_option, json_option
from tvm_memopt.cli.programs.output import is_program
from tvm_memopt.cli.rpc import named_device, rpc_options
from tvm_memopt.errors import FrontendError, MemoptError

if TYPE_CHECKING:
    import numpy as np
    import tvm

    from tvm_memopt.frontends.inputs import InputDocument
    from tvm_memopt.targets.rpc import Device


@click.command("run")
@click.argument("module", metavar="MODULE.so|PROGRAM.elf")
@click.option("--against", metavar="MODEL", help="Build this model unmodified and run both, interleaved.")
@click.option("--repeats", type=click.IntRange(min=1), default=20, show_default=True, help="Timed calls of each build.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of the random inputs.")
@rpc_options
@frontend_option
@json_option
def command(
    module: str, against: str | None, repeats: int, seed: int, rpc: str | None, tracker: str | None, key: str | None,
    frontend: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Run MODULE.so on random inputs and report what the runtime really allocated.

    The allocator is interposed below TVM, so the figures do not depend on the plan. With --against, outputs are
    compared bit for bit, and the two builds are timed in alternation. For a module made with Relay, the figures are
    those that its executor states. With --rpc, or --tracker and --key, the module is uploaded to a device and measured
    there. Of a program, made with `optimize -o PROGRAM.elf`, addresses and instructions are reported, not time; one for
    another machine runs under QEMU, or on a device.

    \b
    Examples:
      tvm-memopt run model.so --against model.onnx
      tvm-memopt run model.so --against model.onnx --tracker 127.0.0.1:9190 --key emulator

    The exit status is 1 if the outputs differ.
    """
    from tvm_memopt.runtime.loading import existing_file

    existing_file(module)
    device = named_device(rpc, tracker, key)
    if is_program(module):
        from tvm_memopt.cli.programs.run import run_program

        run_program(device, module, against, seed, _model_and_inputs, as_json)
        return
    if device is not None:
        _run_on(device, module, against, repeats, seed, frontend, as_json)
        return
    if _frontend_of(module, frontend) == "relay":
        from tvm_memopt.cli.relay.run import run_relay

        run_relay(module, against, repeats, seed, as_json)
        return
    from tvm_memopt.cli.measured import compare, text
    from tvm_memopt.frontends.inputs import described_arrays
    from tvm_memopt.passes.build import build_unmodified, read_metadata
    from tvm_memopt.runtime.loading import load_machine

    document = read_metadata(load_machine(module), module)
    arena_nbytes, position = _arena(document, module)
    if against is None:
        inputs, other = described_arrays(document["inputs"], seed), None
    else:
        from tvm_memopt.passes.compile import make_target

        mod, inputs = _model_and_inputs(against, module, document["inputs"], seed)
        with stage("building the unmodified module"):
            other = build_unmodified(mod, make_target(str(document["target"])))
    with stage("measuring"):
        comparison = compare(
            module, other, inputs, arena_nbytes, caller_arena=document["caller_arena"], repeats=repeats,
            arena_position=position,
        )  # fmt: skip
    emit(as_json, comparison.document(), text(comparison))
    if comparison.outputs_equal is False:
        raise click.exceptions.Exit(1)


def _run_on(
    device: Device, module: str, against: str | None, repeats: int, seed: int, frontend: str | None, as_json: bool
) -> None:
    """Measure the module on a device."""
    if _frontend_of(module, frontend) == "relay":
        raise MemoptError(f"{module}: was made with Relay, which this command does not run on devices: use Relax")
    from tvm_memopt.cli.measured import text
    from tvm_memopt.cli.measured_remote import compare_remote
    from tvm_memopt.frontends.inputs import described_arrays
    from tvm_memopt.passes.build import build_unmodified
    from tvm_memopt.passes.compile import make_target

    device.count()
    with stage("asking the device"):
        document = device.retried(lambda: _metadata_on(device, module))
    arena_nbytes, position = _arena(document, module)
    target, other = make_target(str(document["target"])), None
    if against is None:
        inputs = described_arrays(document["inputs"], seed)
    else:
        mod, inputs = _model_and_inputs(against, module, document["inputs"], seed)
        with stage("building the unmodified module"):
            other = build_unmodified(mod, target)
    with stage("measuring on the device"):
        found = compare_remote(
            device, module, other, target, inputs, arena_nbytes, caller_arena=document["caller_arena"],
            repeats=repeats, arena_position=position,
        )  # fmt: skip
    emit(as_json, found.comparison.document(), text(found.comparison))
    if found.comparison.outputs_equal is False:
        raise click.exceptions.Exit(1)


def _metadata_on(device: Device, module: str) -> dict[str, Any]:
    from tvm_memopt.passes.build import read_metadata

    with device.session() as session:
        return read_metadata(session.machine(module), module)


def _arena(document: Mapping[str, Any], module: str) -> tuple[int | None, int | None]:
    """Bytes of the plan's arena, and its index among the storages of a call that may allocate others."""
    if document["functions"] and "main" not in document["functions"]:
        raise MemoptError(f"{module}: has no planned function 'main' to run")
    main = document["functions"].get("main", {"plan": {"arena_nbytes": None}})
    return main["plan"]["arena_nbytes"], main.get("arena_position", 0) if main.get("beside_arena", False) else None


def _frontend_of(module: str, asked: str | None) -> str:
    """The front end that made a module: a module of Relay has a JSON file beside it."""
    if asked is None and Path(f"{module}.json").is_file():
        asked = "relay"
    return choose_frontend(asked, ("against", "repeats", "seed", "as_json"))


def _model_and_inputs(
    path: str, module: str, inputs: Sequence[InputDocument], seed: int
) -> tuple[tvm.IRModule, list[np.ndarray]]:
    from tvm_memopt.frontends import detect_format, import_model, model_inputs, random_inputs

    wanted = {value["name"]: tuple(value["shape"]) for value in inputs}
    try:
        with stage(f"importing {path}"):
            if detect_format(path) == "onnx":  # the module may have been built with --override-shape
                mod = import_model(path, override_shapes=wanted)
            else:
                mod = import_model(path, wanted)
    except FrontendError as error:
        raise FrontendError(f"{error} (the shapes are those of {module}'s inputs)") from None
    found = {value.name: value.shape for value in model_inputs(mod)}
    if found != wanted:
        raise FrontendError(f"{path}: is not the model of {module}: inputs {_show(found)}, expected {_show(wanted)}")
    return mod, random_inputs(mod, seed)


def _show(inputs: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name}={','.join(map(str, shape))}" for name, shape in inputs.items()) or "none"

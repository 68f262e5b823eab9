"""``tvm-memopt run`` for modules made with Relay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from tvm_memopt.cli.console import emit
from tvm_memopt.cli.relay.measured import compare_with_unmodified, measured_alone
from tvm_memopt.cli.relay.models import import_for_relay
from tvm_memopt.errors import FrontendError

if TYPE_CHECKING:
    from tvm_memopt.frontends.inputs import InputDocument


def run_relay(module: str, against: str | None, repeats: int, seed: int, as_json: bool) -> None:
    """Run a module on random inputs and print its memory and time, beside TVM's own build of a model if given."""
    from tvm_memopt.frontends.inputs import described_arrays
    from tvm_memopt.passes.relay.module_file import read_sidecar
    from tvm_memopt.passes.relay.targets import make_target
    from tvm_memopt.runtime.relay_execute import RelayModule

    document = read_sidecar(module)
    executor, inputs, memory = document["executor"], document["inputs"], document["memory"]
    loaded = RelayModule(module, executor, [one["name"] for one in inputs])
    arrays = described_arrays(inputs, seed)
    if against is None:
        comparison = measured_alone(loaded, memory, arrays, repeats)
    else:
        mod = _model(against, module, inputs, executor)
        target = make_target(document["target"])
        comparison = compare_with_unmodified(loaded, memory, against, mod, target, arrays, repeats)
    emit(as_json, {"executor": executor, **comparison.document()}, comparison.text())
    if comparison.outputs_equal is False:
        raise click.exceptions.Exit(1)


def _model(path: str, module: str, inputs: Sequence[InputDocument], executor: str) -> Any:
    """The model of ``path`` with the inputs of the module. Raises FrontendError if they differ."""
    from tvm_memopt.frontends import detect_format
    from tvm_memopt.frontends.relay_import import describe_relay_inputs

    wanted = {one["name"]: tuple(one["shape"]) for one in inputs}
    shapes = [f"{name}={','.join(map(str, shape))}" for name, shape in wanted.items()]
    # The module may have been built with --override-shape.
    given: tuple[list[str], list[str]] = ([], shapes) if detect_format(path) == "onnx" else (shapes, [])
    try:
        mod = import_for_relay(path, *given, executor)
    except FrontendError as error:
        raise FrontendError(f"{error} (the shapes are those of {module}'s inputs)") from None
    found = {one["name"]: tuple(one["shape"]) for one in describe_relay_inputs(mod)}
    if found != wanted:
        raise FrontendError(f"{path}: is not the model of {module}: inputs {_show(found)}, expected {_show(wanted)}")
    return mod


def _show(inputs: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name}={','.join(map(str, shape))}" for name, shape in inputs.items()) or "none"

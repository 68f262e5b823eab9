"""Options that several commands share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Protocol, TypeVar

import click
from click.core import ParameterSource

from tvm_memopt.cli.frontend import DEFAULT_EXECUTOR, RELAY_EXECUTORS
from tvm_memopt.cli.rpc import rpc_options
from tvm_memopt.errors import MemoptError
from tvm_memopt.targets import DeviceProfile, device_profile

_F = TypeVar("_F", bound=Callable[..., object])


class _Decorator(Protocol):
    def __call__(self, function: _F, /) -> _F: ...


def stacked(*decorators: _Decorator) -> _Decorator:
    """Several decorators as one."""

    def apply(function: _F) -> _F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


shape_option = stacked(
    click.option(
        "--shape", "shapes", multiple=True, metavar="NAME=1,3,224,224",
        help="Shape of a model input with dynamic dimensions. May be repeated.",
    ),
    click.option(
        "--override-shape", "override_shapes", multiple=True, metavar="NAME=1,3,224,224",
        help="Shape of an ONNX model's input that replaces fixed dimensions. May be repeated.",
    ),
)  # fmt: skip


def _read_device(_context: click.Context, _option: click.Parameter, name: str | None) -> DeviceProfile | None:
    return None if name is None else device_profile(name)


def _target_of_device(context: click.Context, option: click.Parameter, target: str | None) -> str | None:
    """The target given, or that of --device, as JSON. Raises MemoptError if both are given."""
    device: DeviceProfile | None = context.params.get("device")
    if device is None:
        return target
    if option.name is not None and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
        raise MemoptError(f"--target and --device {device.name} both name a target: leave one of them out")
    return target if not device.triple else json.dumps(dict(device.target))


device_option = click.option(
    "--device", metavar="NAME|FILE.toml", is_eager=True, callback=_read_device,
    help="Device to plan for: its target and its memory. `tvm-memopt devices` lists the names.",
)  # fmt: skip

target_option = stacked(
    click.option(
        "--target", default="llvm", show_default=True, metavar="T", callback=_target_of_device,
        help='TVM target: a name, or JSON such as \'{"kind": "llvm", "mtriple": "aarch64-linux-gnu"}\'. '
        "llvm is this machine.",
    ),
    device_option,
)  # fmt: skip

tuning_target_option = stacked(
    click.option(
        "--target", metavar="T", callback=_target_of_device,
        help="TVM target, as JSON with num-cores; default: this processor up to AVX2.",
    ),
    device_option,
)  # fmt: skip

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout instead of text.")

function_option = click.option(
    "--function", metavar="NAME", help="Function of a Relax module; default: main, or the only one."
)

frontend_option = click.option(
    "--frontend", type=click.Choice(["relax", "relay"]),
    help="Which of TVM's front ends to use: relax, or relay for TVM 0.19 and earlier; default: what is installed.",
)  # fmt: skip

executor_option = click.option(
    "--executor", type=click.Choice(RELAY_EXECUTORS),
    help=f"With Relay: the executor to plan for; default: {DEFAULT_EXECUTOR}.",
)  # fmt: skip

search_options = stacked(
    click.option(
        "--budget", metavar="80%|192KiB|BYTES",
        help="Limit on the arena; default: the smallest found, or if that does not fit --device, the device's memory.",
    ),
    click.option("--time-limit", type=float, default=10.0, show_default=True, metavar="S", help="Seconds to search."),
    click.option("--threads", type=int, metavar="N", help="Threads to search with; default: all processors."),
    click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of randomised searches."),
)  # fmt: skip

dask_options = stacked(
    click.option(
        "--dask", metavar="SCHEDULER",
        help="Address of a Dask scheduler, such as tcp://farm:8786; default: processes on this machine.",
    ),
    click.option(
        "--workers", type=click.IntRange(1), metavar="N",
        help="Worker processes on this machine; default: all processors.",
    ),
)  # fmt: skip

strict_option = click.option(
    "--strict",
    is_flag=True,
    help="Reject a model in which nothing can be planned, instead of compiling it without a plan.",
)

_WIDE = "tvm_memopt.wide"
kernel_options = stacked(
    click.option(
        "--fold", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True,
        help="Fold padding and other data movement into the loops that read it: if memory requires it, always, never.",
    ),
    click.option(
        "--split", type=click.Choice(["never", "free", "auto"]), default="auto", show_default=True,
        help="Run the stages of a kernel band by band: never, if it costs no time, or also if --budget needs it.",
    ),
    click.option(
        "--narrow", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True,
        callback=lambda context, _option, value: "never" if context.meta.get(_WIDE) else value,
        help="Cut the kernels of quantised models at int8 tensors: if that costs no time, always, never.",
    ),
    click.option(
        "--wide", is_flag=True, is_eager=True, expose_value=False,
        callback=lambda context, _option, value: context.meta.update({_WIDE: value}),
        help="Short for --narrow never.",
    ),
    click.option(
        "--integer/--no-integer", default=None,
        help="Compute quantised operators in integers, as TFLite defines them; default: if there is no FPU.",
    ),
    click.option(
        "--overlap", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True,
        help="Let outputs begin inside inputs that are still read: if that costs no time, always, never.",
    ),
    click.option(
        "--io-in-arena", default="", metavar="inputs,outputs",
        help="Place the inputs, the outputs or both in the arena too.",
    ),
    click.option("--no-inplace", is_flag=True, help="Never let an output overwrite a dying input."),
    click.option(
        "--measure-costs", is_flag=True,
        help="Time each kernel, on this machine or on the device of --rpc or --tracker, instead of estimating it.",
    ),
    click.option(
        "--predict-costs", metavar="package|FILE",
        help="Predict kernel times with a network of train-cost-model, or with the bundled one.",
    ),
    rpc_options,
)  # fmt: skip

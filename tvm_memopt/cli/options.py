"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import click

from tvm_memopt.cli.frontend import DEFAULT_EXECUTOR, RELAY_EXECUTORS

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

target_option = click.option(
    "--target", default="llvm", show_default=True, metavar="T",
    help='TVM target: a name, or JSON such as \'{"kind": "llvm", "mtriple": "aarch64-linux-gnu"}\'. '
    "llvm is this machine.",
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
    click.option("--budget", metavar="80%|192KiB|BYTES", help="Limit on the arena; default: the smallest found."),
    click.option("--time-limit", type=float, default=10.0, show_default=True, metavar="S", help="Seconds to search."),
    click.option("--threads", type=int, metavar="N", help="Threads to search with; default: all processors."),
    click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of randomised searches."),
)

strict_option = click.option(
    "--strict",
    is_flag=True,
    help="Reject a model in which nothing can be planned, instead of compiling it without a plan.",
)

kernel_options = stacked(
    click.option(
        "--fold", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True,
        help="Fold padding and other data movement into the loops that read it: if memory requires it, always, never.",
    ),
    click.option("--no-inplace", is_flag=True, help="Never let an output overwrite a dying input."),
    click.option("--measure-costs", is_flag=True, help="Time each kernel on this machine instead of estimating it."),
    click.option(
        "--predict-costs", metavar="package|FILE",
        help="Predict kernel times with a network of train-cost-model, or with the bundled one.",
    ),
)  # fmt: skip

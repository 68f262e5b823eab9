"""Run-time cost of a plan without a budget: ``python -m benchmarks.prices [NAME...]``.

Small networks of common kinds are built unmodified and planned, and called alternately in one process. It reports CPU
time and really allocated bytes relative to TVM's fusing build. ``--fold always`` folds data movement wherever that
saves bytes. ``--models`` adds the models of the set, each in a separate process.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.tables import geometric_mean, save, table

HEADER = ("network", "arena", "TVM total", "our total", "bytes", "CPU ratio", "low", "high", "equal", "as planned")


@dataclass(frozen=True)
class Network:
    """One operator or short chain on an input of ``shape``; ``emit`` gets a BlockBuilder and the input."""

    name: str
    shape: tuple[int, ...]
    emit: Callable[[Any, Any], Any]
    dtype: str = "float32"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the networks and print the table."""
    options = _parse(arguments)
    rows: dict[str, dict[str, Any]] = {}
    for network in networks():
        if not options.names or network.name in options.names:
            rows[network.name] = measure(network, options.fold, options.repeats)
            print(f"{network.name}: CPU {rows[network.name]['cpu_ratio']:.3f}", file=sys.stderr, flush=True)
            save("prices", {"fold": options.fold, "rows": rows})
    print(render(rows))
    if options.models:
        from benchmarks import models

        return models.main(["--resume"])
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="networks; default: all")
    parser.add_argument("--fold", choices=["auto", "always", "never"], default="auto")
    parser.add_argument("--repeats", type=int, default=20, help="timed calls of each build (default 20)")
    parser.add_argument("--models", action="store_true", help="run benchmarks.models --resume behind it")
    return parser.parse_args(arguments)


def networks() -> list[Network]:
    """Every kind of convolution, pooling, softmax, attention and resize, at sizes from 8x8 to 224x224."""
    return [*_convolutions(), *_other_convolutions(), *_others(), *_halves()]


def _weight(shape: Sequence[int], dtype: str) -> Any:
    import numpy as np
    from tvm import relax

    return relax.const((np.random.default_rng(0).standard_normal(shape) * 0.1).astype(dtype))


def _convolution(channels: int, filters: int, kernel: int, *, dtype: str = "float32", **attributes: Any) -> Any:
    from tvm.relax import op

    groups = attributes.get("groups", 1)
    weight = _weight((filters, channels // groups, kernel, kernel), dtype)
    return lambda b, x: b.emit(op.nn.relu(b.emit(op.nn.conv2d(x, weight, **attributes))))


def _convolutions() -> list[Network]:
    found = []
    for size, channels in ((8, 64), (28, 32), (56, 16), (112, 8), (224, 3)):
        shape, filters = (1, channels, size, size), max(channels, 8)
        plain = _convolution(channels, filters, 3, padding=1)
        found += [
            Network(f"conv3_{size}", shape, plain),
            Network(f"conv3_stride2_{size}", shape, _convolution(channels, filters, 3, padding=1, strides=2)),
            Network(f"conv5_{size}", shape, _convolution(channels, filters, 5, padding=2)),
            Network(f"depthwise_{size}", shape, _convolution(channels, channels, 3, padding=1, groups=channels)),
        ]
    dilated = _convolution(16, 16, 3, padding=2, dilation=2)
    grouped = _convolution(16, 16, 3, padding=1, groups=4)
    chain = _chain(_convolution(16, 16, 3, padding=1), _convolution(16, 16, 3, padding=1))
    return [
        *found,
        Network("conv3_dilated_28", (1, 16, 28, 28), dilated),
        Network("conv3_grouped_28", (1, 16, 28, 28), grouped),
        Network("conv1_28", (1, 64, 28, 28), _convolution(64, 64, 1)),
        Network("conv3_chain_56", (1, 16, 56, 56), chain),
        Network("conv7_stride2_224", (1, 3, 224, 224), _convolution(3, 8, 7, padding=3, strides=2)),
    ]


def _chain(*emits: Any) -> Any:
    def emit(b: Any, x: Any) -> Any:
        for one in emits:
            x = one(b, x)
        return x

    return emit


def _other_convolutions() -> list[Network]:
    from tvm.relax import op

    def transposed(kernel: int, stride: int, padding: int, channels: int) -> Any:
        weight = _weight((channels, channels, kernel, kernel), "float32")
        attributes = {"strides": stride, "padding": padding}
        return lambda b, x: b.emit(op.nn.conv2d_transpose(x, weight, **attributes))

    line, volume = _weight((16, 8, 5), "float32"), _weight((4, 2, 3, 3, 3), "float32")
    back = _weight((8, 8, 4), "float32")
    return [
        Network("transposed2_16", (1, 8, 16, 16), transposed(2, 2, 0, 8)),
        Network("transposed3_28", (1, 8, 28, 28), transposed(3, 2, 1, 8)),
        Network("transposed4_56", (1, 8, 56, 56), transposed(4, 2, 1, 8)),
        Network("transposed4_stride4_28", (1, 8, 28, 28), transposed(4, 4, 0, 8)),
        Network("conv1d_1000", (1, 8, 1000), lambda b, x: b.emit(op.nn.conv1d(x, line, padding=2))),
        Network("conv1d_transposed_500", (1, 8, 500), lambda b, x: b.emit(op.nn.conv1d_transpose(x, back, strides=2))),
        Network("conv3d_16", (1, 2, 8, 16, 16), lambda b, x: b.emit(op.nn.conv3d(x, volume, padding=1))),
        Network("conv3d_32", (1, 2, 16, 32, 32), lambda b, x: b.emit(op.nn.conv3d(x, volume, padding=1))),
    ]


def _others() -> list[Network]:
    from tvm.relax import op

    def pool(kind: str, **attributes: Any) -> Any:
        return lambda b, x: b.emit(getattr(op.nn, kind)(x, (3, 3), **attributes))

    def attention(b: Any, x: Any) -> Any:
        scores = b.emit(op.matmul(x, b.emit(op.permute_dims(x, [0, 2, 1]))))
        return b.emit(op.matmul(b.emit(op.nn.softmax(scores)), x))

    return [
        Network("maxpool_112", (1, 8, 112, 112), pool("max_pool2d", strides=2, padding=1)),
        Network("maxpool_stride1_28", (1, 32, 28, 28), pool("max_pool2d", strides=1, padding=1)),
        Network("avgpool_56", (1, 16, 56, 56), pool("avg_pool2d", strides=2, padding=1)),
        Network("softmax_1000", (8, 1000), lambda b, x: b.emit(op.nn.softmax(x))),
        Network("softmax_channels_56", (1, 16, 56, 56), lambda b, x: b.emit(op.nn.softmax(x, 1))),
        Network("attention_128", (4, 128, 32), attention),
        Network("resize_56", (1, 8, 56, 56), lambda b, x: b.emit(op.image.resize2d(x, (112, 112), layout="NCHW"))),
        Network("layer_norm_128", (16, 128), _layer_norm),
    ]


def _layer_norm(b: Any, x: Any) -> Any:
    from tvm.relax import op

    return b.emit(op.nn.layer_norm(x, _weight((128,), "float32"), _weight((128,), "float32"), [-1]))


def _halves() -> list[Network]:
    half = "float16"
    wide = _convolution(16, 16, 3, padding=1, dtype=half)
    deep = _convolution(16, 16, 3, padding=1, groups=16, dtype=half)
    return [
        Network("half_conv3_28", (1, 16, 28, 28), wide, half),
        Network("half_depthwise_56", (1, 16, 56, 56), deep, half),
    ]


def module_of(network: Network) -> Any:
    """The Relax module of one network."""
    from tvm import relax

    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType(network.shape, network.dtype))
    with builder.function("main", [x]):
        with builder.dataflow():
            result = builder.emit_output(network.emit(builder, x))
        builder.emit_func_output(result)
    return builder.get()


def measure(network: Network, fold: str, repeats: int) -> dict[str, Any]:
    """One row: the network built both ways, measured in turn."""
    import numpy as np
    import tvm

    from tvm_memopt.passes.build import build_planned, build_unmodified
    from tvm_memopt.passes.relax.planning import PlanOptions
    from tvm_memopt.runtime import compare_times, measure_memory, outputs_equal, run_module

    mod, target = module_of(network), tvm.target.Target("llvm")
    inputs = [np.random.default_rng(1).standard_normal(network.shape).astype(network.dtype)]
    build = build_planned(mod, target, PlanOptions(time_limit=5, fold_data_movement=fold))
    planned, unmodified = build.executable, build_unmodified(mod, target)
    ours, theirs = measure_memory(planned, inputs), measure_memory(unmodified, inputs)
    totals = [m.storage_nbytes + m.returned_nbytes + m.workspace_requested_nbytes for m in (ours, theirs)]
    ratio = compare_times({"planned": planned, "unmodified": unmodified}, inputs, repeats).cpu_ratio["planned"]
    found = build.planned.functions["main"]
    return {
        "arena_nbytes": found.plan.arena_nbytes,
        "tvm_total_nbytes": totals[1],
        "total_nbytes": totals[0],
        "bytes_ratio": totals[0] / totals[1],
        "cpu_ratio": ratio.median,
        "cpu_low": ratio.low,
        "cpu_high": ratio.high,
        "outputs_equal": outputs_equal(run_module(planned, inputs), run_module(unmodified, inputs)),
        "arena_as_planned": found.plan.arena_nbytes == ours.arena_nbytes,
        "folds": list(found.folds),
    }


def render(rows: dict[str, dict[str, Any]]) -> str:
    """The table, and what it comes to."""
    keys = HEADER_KEYS
    lines = [table(HEADER, [(name, *(row[key] for key in keys)) for name, row in rows.items()])]
    for label, key in (("run time (CPU), ours / TVM's", "cpu_ratio"), ("bytes, ours / TVM's", "bytes_ratio")):
        values = [row[key] for row in rows.values()]
        lines.append(f"{label}: geometric mean {geometric_mean(values):.3f}, largest {max(values):.3f}")
    for label in ("outputs_equal", "arena_as_planned"):
        lines.append(f"{label.replace('_', ' ')}: {sum(row[label] for row in rows.values())} of {len(rows)}")
    return "\n".join(lines)


HEADER_KEYS = (
    "arena_nbytes", "tvm_total_nbytes", "total_nbytes", "bytes_ratio", "cpu_ratio", "cpu_low", "cpu_high",
    "outputs_equal", "arena_as_planned",
)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())

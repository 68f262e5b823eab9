"""What is tuned: four computations by hand, and two subgraphs that the auto-scheduler takes from a MobileNet."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import tvm
from tvm import auto_scheduler, te, topi

TRIPLE = "llvm -mtriple=x86_64-linux-gnu -mcpu=x86-64-v2 -cl-opt=-enable-tbaa:bool=false"
"""Without the option, the wheel tags vector loads so that LLVM may move them past the stores that feed them."""


def target(options: str = "") -> tvm.target.Target:
    return tvm.target.Target(TRIPLE + options, host=TRIPLE + options)


def unoptimised() -> tvm.target.Target:
    """LLVM translates and does not optimise."""
    return target(" -opt-level=0")


@auto_scheduler.register_workload
def conv2d_bias_relu(channels: int, size: int, filters: int) -> list[te.Tensor]:
    data = te.placeholder((1, channels, size, size), name="data")
    kernel = te.placeholder((filters, channels, 3, 3), name="kernel")
    bias = te.placeholder((1, filters, 1, 1), name="bias")
    conv = topi.nn.conv2d_nchw(data, kernel, 1, 1, dilation=1, out_dtype="float32")
    return [data, kernel, bias, topi.nn.relu(topi.add(conv, bias))]


@auto_scheduler.register_workload
def depthwise_block(channels: int, size: int, filters: int) -> list[te.Tensor]:
    """A depthwise and a pointwise convolution, each with ReLU."""
    data = te.placeholder((1, channels, size, size), name="data")
    deep = te.placeholder((channels, 1, 3, 3), name="deep")
    point = te.placeholder((filters, channels, 1, 1), name="point")
    middle = topi.nn.relu(topi.nn.depthwise_conv2d_nchw(data, deep, 1, 1, 1, "float32"))
    return [data, deep, point, topi.nn.relu(topi.nn.conv2d_nchw(middle, point, 1, 0, 1, "float32"))]


@auto_scheduler.register_workload
def matmul(rows: int, inner: int, columns: int) -> list[te.Tensor]:
    a, b = te.placeholder((rows, inner), name="a"), te.placeholder((inner, columns), name="b")
    k = te.reduce_axis((0, inner), name="k")
    return [a, b, te.compute((rows, columns), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name="c")]


@auto_scheduler.register_workload
def softmax(rows: int, columns: int) -> list[te.Tensor]:
    x = te.placeholder((rows, columns), name="x")
    return [x, topi.nn.softmax(x)]


@cache
def mobilenet_tasks() -> list[auto_scheduler.SearchTask]:
    """All tasks of a MobileNet at 96 x 96, those with most operations first."""
    from tvm.relay.testing import mobilenet

    mod, params = mobilenet.get_workload(batch_size=1, num_classes=100, image_shape=(3, 96, 96))
    tasks, _ = auto_scheduler.extract_tasks(mod["main"], params, target())
    return sorted(tasks, key=lambda task: -float(task.compute_dag.flop_ct))


def heaviest(depthwise: bool) -> auto_scheduler.SearchTask:
    return next(task for task in mobilenet_tasks() if "conv2d" in task.desc and ("depthwise" in task.desc) == depthwise)


def by_hand(function: Callable[..., list[te.Tensor]], *sizes: int) -> auto_scheduler.SearchTask:
    return auto_scheduler.SearchTask(func=function, args=sizes, target=target())


CASES: dict[str, Callable[[], auto_scheduler.SearchTask]] = {
    "conv2d + bias + relu": lambda: by_hand(conv2d_bias_relu, 32, 28, 64),
    "depthwise + pointwise": lambda: by_hand(depthwise_block, 64, 28, 96),
    "matmul": lambda: by_hand(matmul, 256, 384, 256),
    "softmax": lambda: by_hand(softmax, 256, 1000),
    "mobilenet conv2d": lambda: heaviest(False),
    "mobilenet depthwise": lambda: heaviest(True),
}

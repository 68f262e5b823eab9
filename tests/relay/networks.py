"""Small Relay networks with seeded weights."""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relay


def weighted(result, seed=0):
    """The module that computes ``result``, and values for its parameters other than x."""
    function = relay.Function(relay.analysis.free_vars(result), result)
    mod = relay.transform.InferType()(tvm.IRModule.from_expr(function))
    rng = np.random.default_rng(seed)
    weights = [p for p in mod["main"].params if not p.name_hint.startswith("x")]
    params = {}
    for p in weights:
        shape = [int(d) for d in p.checked_type.shape]
        params[p.name_hint] = tvm.nd.array((rng.standard_normal(shape) * 0.2).astype(p.checked_type.dtype))
    return mod, params


def conv(data, channels, name, size=3, **options):
    padding = (size // 2, size // 2)
    weight = relay.var(f"{name}_w")
    made = relay.nn.conv2d(data, weight, channels=channels, kernel_size=(size, size), padding=padding, **options)
    return relay.nn.relu(relay.nn.bias_add(made, relay.var(f"{name}_b", shape=(channels,))))


def image(channels=3, size=16):
    return relay.var("x", shape=(1, channels, size, size))


def chain():
    return weighted(relay.nn.softmax(conv(conv(image(), 8, "a"), 4, "b")))


def two_branches():
    """A branch with 64 channels comes first by default; the other one should."""
    data = image(3, 32)
    ends = [
        conv(relay.nn.max_pool2d(conv(data, c, f"{n}1"), (4, 4), (4, 4)), 8, f"{n}2") for n, c in (("a", 64), ("b", 16))
    ]
    return weighted(ends[0] + ends[1])


def unet():
    """The skip tensor e1 lives across a large middle part, and recomputing it is cheap."""
    e1 = conv(image(3, 32), 64, "e1")
    middle = conv(conv(relay.nn.max_pool2d(e1, (2, 2), (2, 2)), 256, "e2"), 256, "m")
    up = relay.nn.upsampling(conv(middle, 8, "s"), 2, 2)
    return weighted(conv(relay.concatenate([up, e1], 1), 4, "o"))


def tuples():
    """Several results: a view of a tensor that is read again, half of a split, and a tensor itself."""
    made = conv(image(), 8, "a")
    soft = relay.nn.softmax(relay.reshape(made, (1, 8, 256)))
    halves = relay.split(soft, 2, axis=1)
    back = conv(relay.reshape(soft, (1, 8, 16, 16)), 4, "b")
    return weighted(relay.Tuple([halves[0] + relay.const(1.0), relay.reshape(back, (1, -1)), halves[1], soft]))


def repeated_results():
    """Results that are equal, reshaped, part of an earlier one, or the input."""
    data = image()
    made = conv(data, 8, "a")
    twice = [relay.nn.max_pool2d(made, (3, 3), padding=(1, 1)) for _ in range(2)]  # TVM merges them
    parts = relay.split(made, 2, axis=1)
    flat = relay.reshape(twice[0], (1, -1))
    return weighted(relay.Tuple([*twice, flat, relay.Tuple([made, made]), parts.astuple(), parts[1], data, data]))


def repeated_block():
    """Three blocks of one shape, whose kernels are shared."""
    data = conv(image(3, 16), 16, "stem")
    for i in range(3):
        data = data + conv(data, 16, f"block{i}")
    return weighted(relay.nn.global_avg_pool2d(data))


def view_of_input():
    """The ahead-of-time executor copies a reshaped input."""
    return weighted(relay.nn.softmax(relay.nn.dense(relay.reshape(image(), (1, -1)), relay.var("d_w", shape=(4, 768)))))


def no_constants():
    """A reshape between two kernels that have scratch but no weights."""
    soft = relay.nn.softmax(relay.var("x", shape=(1, 8, 64)))
    return weighted(relay.nn.softmax(relay.reshape(soft, (1, 4, 128))))


def branch_on_value():
    """An If in the middle."""
    made = conv(image(), 8, "a")
    chosen = relay.If(relay.greater(relay.sum(made), relay.const(0.0)), made * relay.const(2.0), relay.nn.relu(made))
    return weighted(relay.nn.softmax(chosen))


NETWORKS = {f.__name__: f for f in (chain, two_branches, unet, tuples, repeated_results, repeated_block)}

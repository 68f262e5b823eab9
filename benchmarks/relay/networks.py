"""Networks of the Relay benchmark, with seeded weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tvm
from tvm import relay

from benchmarks.zoo.randwire import predecessors, sinks, watts_strogatz

Network = tuple[Any, dict[str, Any]]


def weighted(result: Any, seed: int = 0) -> Network:
    """The module that computes ``result``, and values for its parameters other than those named x."""
    mod = tvm.IRModule.from_expr(relay.Function(relay.analysis.free_vars(result), result))
    return with_weights(relay.transform.InferType()(mod), seed)


def with_weights(mod: Any, seed: int = 0) -> Network:
    """Seeded values for the parameters of main other than those named x. Variances are positive."""
    rng = np.random.default_rng(seed)
    params = {}
    for p in mod["main"].params:
        if p.name_hint.startswith(("x", "data")):
            continue
        shape, dtype = [int(d) for d in p.checked_type.shape], str(p.checked_type.dtype)
        if "int" in dtype:
            value = rng.integers(-60, 60, shape)
        else:
            value = rng.standard_normal(shape) / np.sqrt(max(1, int(np.prod(shape[1:]))))
            value = np.abs(value) + 0.5 if p.name_hint.endswith(("var", "gamma")) else value
        params[p.name_hint] = tvm.nd.array(value.astype(dtype))
    return mod, params


def conv(data: Any, channels: int, name: str, size: int = 3, stride: int = 1, groups: int = 1) -> Any:
    padding = (size // 2, size // 2)
    options = {"channels": channels, "kernel_size": (size, size), "padding": padding, "groups": groups}
    shape = (channels, 1, size, size) if groups > 1 else None  # depthwise: Relay infers no shape with groups
    weight = relay.var(f"{name}_w", shape=shape) if shape else relay.var(f"{name}_w")
    made = relay.nn.conv2d(data, weight, strides=(stride, stride), **options)
    return relay.nn.relu(relay.nn.bias_add(made, relay.var(f"{name}_b", shape=(channels,))))


def residual() -> Network:
    """ResNet-20 for images of 28 by 28."""
    from tvm.relay.testing import resnet

    net = resnet.get_net(1, 10, 20, (3, 28, 28))
    return with_weights(relay.transform.InferType()(tvm.IRModule.from_expr(net)))


def unet() -> Network:
    """Three levels with skip connections."""
    data, skips = relay.var("x", shape=(1, 3, 64, 64)), []
    for level, channels in enumerate((16, 32, 64)):
        data = conv(conv(data, channels, f"d{level}a"), channels, f"d{level}b")
        skips.append(data)
        data = relay.nn.max_pool2d(data, (2, 2), (2, 2))
    data = conv(data, 128, "middle")
    for level, channels in reversed(list(enumerate((16, 32, 64)))):
        data = relay.concatenate([relay.nn.upsampling(data, 2, 2), skips[level]], 1)
        data = conv(conv(data, channels, f"u{level}a"), channels, f"u{level}b")
    return weighted(conv(data, 4, "head", 1))


def irregular() -> Network:
    """A small-world graph of separable convolutions (Xie et al., 2019)."""
    nodes = 16
    edges = watts_strogatz(nodes, 4, 0.75, 1)
    stem = conv(relay.var("x", shape=(1, 3, 64, 64)), 32, "stem", stride=2)
    made: list[Any] = []
    for node, before in enumerate(predecessors(nodes, edges)):
        data = stem if not before else made[before[0]]
        for other in before[1:]:
            data = data + made[other]
        deep = conv(relay.nn.relu(data), 32, f"n{node}d", groups=32)
        made.append(conv(deep, 32, f"n{node}p", 1))
    ends = sinks(nodes, edges)
    total = made[ends[0]]
    for end in ends[1:]:
        total = total + made[end]
    return weighted(relay.nn.global_avg_pool2d(total))


def mobile_onnx() -> Network:
    """The text-direction classifier of PP-OCR, a MobileNetV3, from its ONNX file."""
    import onnx

    from benchmarks.zoo.fetch import fetch
    from benchmarks.zoo.onnx_models import RAPIDOCR

    model = onnx.load(str(fetch(RAPIDOCR, "models/ch_ppocr_mobile_v2.0_cls_infer.onnx")))
    name = model.graph.input[0].name
    mod, params = relay.frontend.from_onnx(model, {name: (1, 3, 48, 192)}, freeze_params=True)
    return relay.transform.DynamicToStatic()(mod), params


def transformer() -> Network:
    """One encoder block: 4 heads, 64 tokens of width 128."""
    tokens, width, heads = 64, 128, 4
    data = relay.var("x", shape=(tokens, width))

    def split_heads(value: Any) -> Any:
        return relay.transpose(relay.reshape(value, (tokens, heads, width // heads)), (1, 0, 2))

    query, key, value = (split_heads(_dense(data, width, width, n)) for n in ("q", "k", "v"))
    scores = relay.nn.softmax(relay.nn.batch_matmul(query, key) * relay.const(0.18))
    mixed = relay.nn.batch_matmul(scores, relay.transpose(value, (0, 2, 1)))
    joined = relay.reshape(relay.transpose(mixed, (1, 0, 2)), (tokens, width))
    first = _normalised(data + _dense(joined, width, width, "o"), width, "ln1")
    wide = relay.nn.relu(_dense(first, 4 * width, width, "up"))
    return weighted(_normalised(first + _dense(wide, width, 4 * width, "down"), width, "ln2"))


def _dense(value: Any, units: int, width: int, name: str, shared: dict[str, Any] | None = None) -> Any:
    """A linear layer. ``shared``: its parameters by name, for layers that are applied several times."""
    known = {} if shared is None else shared
    weight = known.setdefault(f"{name}_w", relay.var(f"{name}_w", shape=(units, width)))
    bias = known.setdefault(f"{name}_b", relay.var(f"{name}_b", shape=(units,)))
    return relay.nn.bias_add(relay.nn.dense(value, weight, units=units), bias)


def _normalised(value: Any, width: int, name: str) -> Any:
    return relay.nn.layer_norm(
        value, relay.var(f"{name}_gamma", shape=(width,)), relay.var(f"{name}_beta", shape=(width,))
    )


def multi_branch() -> Network:
    """Three Inception blocks, whose branches expand and narrow in the wrong order by default."""
    data = conv(relay.var("x", shape=(1, 3, 32, 32)), 16, "stem")
    for block in range(3):
        wide = [conv(conv(data, c, f"b{block}w{c}a", 1), 8, f"b{block}w{c}b") for c in (96, 64, 48)]
        pooled = conv(relay.nn.max_pool2d(data, (3, 3), (1, 1), padding=(1, 1)), 8, f"b{block}p", 1)
        data = relay.concatenate([*wide, pooled], 1)
    return weighted(relay.nn.global_avg_pool2d(data))


def int8() -> Network:
    """Quantised convolutions and a residual addition."""
    scale, zero = relay.const(0.1), relay.const(0)
    data = relay.var("x", shape=(1, 8, 32, 32), dtype="int8")

    def block(value: Any, inside: int, outside: int, name: str) -> Any:
        weight = relay.var(f"{name}_w", shape=(outside, inside, 3, 3), dtype="int8")
        options = {"kernel_size": (3, 3), "channels": outside, "padding": (1, 1)}
        made = relay.qnn.conv2d(value, weight, zero, zero, scale, relay.const(0.02), out_dtype="int32", **options)
        made = relay.qnn.requantize(made, relay.const(0.002), zero, scale, zero, out_dtype="int8")
        return relay.maximum(made, relay.const(0, "int8"))

    first = block(data, 8, 16, "a")
    second = block(block(first, 16, 32, "b"), 32, 16, "c")
    added = relay.qnn.add(first, second, scale, zero, scale, zero, scale, zero)
    return weighted(relay.nn.max_pool2d(block(added, 16, 8, "d"), (2, 2), (2, 2)))


def lstm() -> Network:
    """A two-layer LSTM of 8 steps and 64 units, unrolled."""
    steps, units = 8, 64
    data = relay.var("x", shape=(1, steps, units))
    values = [relay.reshape(part, (1, units)) for part in relay.split(data, steps, axis=1)]
    shared: dict[str, Any] = {}
    for layer in range(2):
        hidden = cell = relay.zeros((1, units), "float32")
        made = []
        for value in values:
            joined = relay.concatenate([value, hidden], 1)
            gates = relay.split(_dense(joined, 4 * units, 2 * units, f"l{layer}", shared), 4, axis=1)
            cell = relay.sigmoid(gates[0]) * cell + relay.sigmoid(gates[1]) * relay.tanh(gates[2])
            hidden = relay.sigmoid(gates[3]) * relay.tanh(cell)
            made.append(hidden)
        values = made
    return weighted(relay.stack(values, axis=1))


def if_inside() -> Network:
    """A convolution, then a branch on its sum."""
    made = conv(relay.var("x", shape=(1, 3, 32, 32)), 16, "a")
    chosen = relay.If(
        relay.greater(relay.sum(made), relay.const(0.0)), conv(made, 16, "b"), relay.nn.relu(made * relay.const(2.0))
    )
    return weighted(relay.nn.softmax(chosen))


def skip_sum() -> Network:
    """A skip connection is added behind a wide middle part. Recomputing it from the image is cheap."""
    skip = conv(relay.var("x", shape=(1, 3, 32, 32)), 64, "encode")
    middle = relay.nn.max_pool2d(skip, (2, 2), (2, 2))
    for layer in range(3):
        middle = conv(middle, 256, f"middle{layer}", 1)
    up = relay.nn.upsampling(conv(middle, 64, "narrow", 1), 2, 2)
    return weighted(conv(up + skip, 4, "head", 1))


def mirrored() -> Network:
    """Narrow codes are expanded on the way down. The expansions are read again, in reverse, on the way up."""
    code, wide = relay.var("x", shape=(1, 4, 32, 32)), []
    for level in range(4):
        wide.append(conv(code, 48, f"e{level}", 1))
        code = conv(wide[-1], 4, f"c{level}")
    for level in reversed(range(4)):
        code = conv(conv(code, 48, f"u{level}", 1) * wide[level], 4, f"d{level}", 1)
    return weighted(code)


def training_step() -> Network:
    """The loss and the gradients of a small convolutional network by Relay's own differentiation."""
    data = relay.var("x", shape=(1, 3, 16, 16))
    weights = [relay.var(f"w{i}", shape=shape) for i, shape in enumerate([(16, 3, 3, 3), (32, 16, 3, 3), (10, 2048)])]
    options = {"padding": (1, 1), "kernel_size": (3, 3)}
    hidden = relay.nn.relu(relay.nn.conv2d(data, weights[0], channels=16, **options))
    pooled = relay.nn.max_pool2d(hidden, (2, 2), (2, 2))
    hidden = relay.nn.relu(relay.nn.conv2d(pooled, weights[1], channels=32, **options))
    logits = relay.nn.dense(relay.reshape(hidden, (1, 2048)), weights[2])
    return _with_gradients(data, weights, logits)


def perceptron_training() -> Network:
    """The loss and the gradients of a perceptron with eight layers."""
    data = hidden = relay.var("x", shape=(64, 64))
    weights = [relay.var(f"w{i}", shape=(64, 64)) for i in range(8)]
    for weight in weights:
        hidden = relay.tanh(relay.nn.dense(hidden, weight)) * relay.const(1.5)
    return _with_gradients(data, weights, hidden)


def _with_gradients(data: Any, weights: list[Any], logits: Any) -> Network:
    loss = relay.sum(relay.nn.log_softmax(logits))
    mod = relay.transform.InferType()(tvm.IRModule.from_expr(relay.Function([data, *weights], loss)))
    mod["main"] = relay.transform.gradient(mod["main"], mode="first_order")
    return with_weights(relay.transform.InferType()(mod))


def dense_blocks() -> Network:
    """Concatenations of all earlier results, as in DenseNet."""
    data = conv(relay.var("x", shape=(1, 3, 32, 32)), 16, "stem")
    for layer in range(6):
        data = relay.concatenate([data, conv(conv(data, 48, f"l{layer}a", 1), 12, f"l{layer}b")], 1)
    return weighted(relay.nn.global_avg_pool2d(data))


NETWORKS: dict[str, Callable[[], Network]] = {
    f.__name__: f
    for f in (
        residual,
        unet,
        irregular,
        mobile_onnx,
        transformer,
        multi_branch,
        int8,
        lstm,
        if_inside,
        training_step,
        dense_blocks,
        skip_sum,
        mirrored,
        perceptron_training,
    )
}

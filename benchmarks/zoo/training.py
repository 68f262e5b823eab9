"""Training steps: forward and backward passes of small networks, written in Relax and differentiated by TVM.

``main`` takes the data, the labels and all parameters. It returns the loss and the gradients of the parameters, in the
same order. Sizes are chosen so that the activations kept for the backward pass outweigh the parameters, which gives
recomputation something to save. Layers whose operator has no gradient in TVM (layer norm, batch norm with batch
statistics, GELU, up-sampling) are composed of operators that have one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.zoo.model import Input

if TYPE_CHECKING:
    import tvm
    from tvm import relax

DATA_INPUTS = 2  # the data and the labels; parameters follow
_EPSILON = 1e-5


@dataclass
class Forward:
    """A forward pass being written: calling it binds an expression; inputs are declared where they are first used."""

    builder: relax.BlockBuilder
    inputs: list[Input] = field(default_factory=list)
    variables: list[relax.Var] = field(default_factory=list)

    def __call__(self, expr: relax.Expr) -> relax.Var:
        return self.builder.emit(expr)

    def declare(self, item: Input) -> relax.Var:
        """A new parameter of ``main``."""
        from tvm import relax

        variable = relax.Var(item.name, relax.TensorType(list(item.shape), item.dtype))
        self.inputs.append(item)
        self.variables.append(variable)
        return variable

    def weight(self, name: str, *shape: int, fan_in: int) -> relax.Var:
        """A parameter that keeps the scale of what it is applied to under ReLU (He et al., 2015)."""
        return self.declare(Input(name, shape, high=math.sqrt(2 / fan_in)))

    def near(self, value: float, name: str, *shape: int) -> relax.Var:
        """A parameter close to ``value``; exactly 0 or 1 would hide mistakes in its gradient."""
        return self.declare(Input(name, shape, low=value, high=0.1))

    def labels(self, classes: int, *shape: int) -> relax.Var:
        """The right class of each item."""
        return self.declare(Input("labels", shape, dtype="int32", kind="integers", high=classes))


@dataclass(frozen=True)
class TrainingModel:
    """One training step; ``forward`` declares its inputs (data and labels first) and returns the scalar loss."""

    name: str
    family: str
    forward: Callable[[Forward], relax.Expr]

    @cached_property
    def _written(self) -> tuple[tvm.IRModule, tuple[Input, ...]]:
        return _differentiated(self.forward)

    @property
    def inputs(self) -> tuple[Input, ...]:
        """Every input of ``main`` in order: data, labels, parameters."""
        return self._written[1]

    @property
    def parameters(self) -> tuple[Input, ...]:
        """The inputs whose gradients ``main`` returns, in their order."""
        return self.inputs[DATA_INPUTS:]

    @property
    def parameters_nbytes(self) -> int:
        """Bytes of all parameters, and of all gradients."""
        return sum(np.dtype(item.dtype).itemsize * math.prod(item.shape) for item in self.parameters)

    def draw(self, seed: int = 0) -> list[np.ndarray]:
        """Random data, labels and parameters; the same seed gives the same arrays."""
        rng = np.random.default_rng(seed)
        return [item.draw(rng) for item in self.inputs]

    def load(self) -> tvm.IRModule:
        """A module whose ``main`` returns (loss, (gradient of each parameter, ...)). Needs no package but TVM."""
        return self._written[0]


def _differentiated(forward: Callable[[Forward], relax.Expr]) -> tuple[tvm.IRModule, tuple[Input, ...]]:
    import tvm
    from tvm import relax

    builder = relax.BlockBuilder()
    written = Forward(builder)
    with builder.function("main"):
        with builder.dataflow():
            loss = builder.emit_output(forward(written))
        builder.emit_func_output(loss, written.variables)
    mod = builder.get()
    wanted = list(mod["main"].params)[DATA_INPUTS:]
    adjoint = relax.transform.Gradient("main", require_grads=wanted)(mod)["main_adjoint"]
    attributes = {"global_symbol": "main", "num_input": DATA_INPUTS}
    step = tvm.IRModule({tvm.ir.GlobalVar("main"): adjoint.with_attrs(attributes)})
    return relax.transform.Normalize()(step), tuple(written.inputs)


def mlp_train(
    batch: int = 512, features: int = 64, width: int = 64, layers: int = 8, classes: int = 10
) -> TrainingModel:
    """Fully connected layers with ReLU, a softmax classifier."""

    def forward(net: Forward) -> relax.Expr:
        from tvm.relax import op

        value = net.declare(Input("x", (batch, features)))
        labels = net.labels(classes, batch)
        for layer in range(layers):
            value = net(op.nn.relu(_linear(net, value, f"layer{layer}", features if layer == 0 else width, width)))
        return _cross_entropy(net, _linear(net, value, "head", width, classes), labels)

    return TrainingModel("mlp_train", "multi-layer perceptron, training step", forward)


def resnet_train(
    batch: int = 8, side: int = 16, channels: int = 8, stages: int = 3, blocks: int = 2, classes: int = 10
) -> TrainingModel:
    """Residual blocks with batch norm; each stage after the first halves the side and doubles the channels."""

    def forward(net: Forward) -> relax.Expr:
        from tvm.relax import op

        value = net.declare(Input("x", (batch, 3, side, side)))
        labels = net.labels(classes, batch)
        value = net(op.nn.relu(_batch_norm(net, _conv(net, value, "stem", 3, channels), "stem_norm", channels)))
        before = channels
        for stage in range(stages):
            after = channels * 2**stage
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                value = _residual_block(net, value, f"stage{stage}_block{block}", before, after, stride)
                before = after
        pooled = net(op.mean(value, axis=[2, 3]))
        return _cross_entropy(net, _linear(net, pooled, "head", before, classes), labels)

    return TrainingModel("resnet_train", "residual CNN, training step", forward)


def unet_train(batch: int = 4, side: int = 32, channels: int = 8, depth: int = 3, classes: int = 4) -> TrainingModel:
    """Encoder with max-pooling, decoder with nearest up-sampling, skips by concatenation; one class a pixel."""

    def forward(net: Forward) -> relax.Expr:
        from tvm.relax import op

        value = net.declare(Input("x", (batch, 3, side, side), kind="smooth", low=-2.0, high=2.0))
        labels = net.labels(classes, batch, side, side)
        widths = [channels * 2**level for level in range(depth + 1)]
        skips = []
        before = 3
        for level in range(depth):
            value = _two_convs(net, value, f"down{level}", before, widths[level])
            skips.append(value)
            value = net(op.nn.max_pool2d(value, (2, 2), (2, 2)))
            before = widths[level]
        value = _two_convs(net, value, "middle", before, widths[depth])
        for level in reversed(range(depth)):
            joined = net(op.concat([_upsampled(net, value), skips[level]], axis=1))
            value = _two_convs(net, joined, f"up{level}", widths[level + 1] + widths[level], widths[level])
        logits = _conv(net, value, "head", widths[0], classes, kernel=1)
        return _cross_entropy(net, logits, labels)

    return TrainingModel("unet_train", "U-Net, training step", forward)


def transformer_train(
    batch: int = 8, tokens: int = 32, width: int = 32, heads: int = 4, blocks: int = 2, classes: int = 16
) -> TrainingModel:
    """Transformer blocks, layer norm first, and a class for each token."""

    def forward(net: Forward) -> relax.Expr:
        from tvm.relax import op

        rows = batch * tokens
        data = net.declare(Input("x", (batch, tokens, width)))
        labels = net.labels(classes, rows)
        value = net(op.reshape(data, (rows, width)))
        for block in range(blocks):
            name = f"block{block}"
            normal = _layer_norm(net, value, f"{name}_norm1", width)
            value = net(op.add(value, _attention(net, normal, name, batch, tokens, width, heads)))
            normal = _layer_norm(net, value, f"{name}_norm2", width)
            hidden = _gelu(net, _linear(net, normal, f"{name}_up", width, 4 * width))
            value = net(op.add(value, _linear(net, hidden, f"{name}_down", 4 * width, width)))
        return _cross_entropy(net, _linear(net, value, "head", width, classes), labels)

    return TrainingModel("transformer_train", "transformer, training step", forward)


def _number(value: float) -> relax.Expr:
    from tvm import relax

    return relax.const(np.float32(value))


def _linear(net: Forward, value: relax.Expr, name: str, before: int, after: int) -> relax.Var:
    from tvm.relax import op

    product = net(op.matmul(value, net.weight(f"{name}_weight", before, after, fan_in=before)))
    return net(op.add(product, net.near(0, f"{name}_bias", after)))


def _conv(
    net: Forward, value: relax.Expr, name: str, before: int, after: int, kernel: int = 3, stride: int = 1
) -> relax.Var:
    from tvm.relax import op

    weight = net.weight(f"{name}_weight", after, before, kernel, kernel, fan_in=before * kernel**2)
    return net(op.nn.conv2d(value, weight, strides=stride, padding=kernel // 2))


def _cross_entropy(net: Forward, logits: relax.Expr, labels: relax.Expr) -> relax.Expr:
    """Mean negative log-likelihood; classes lie along axis 1."""
    from tvm.relax import op

    return op.nn.nll_loss(net(op.nn.log_softmax(logits, axis=1)), labels, reduction="mean")


def _normalised(net: Forward, value: relax.Expr, axes: list[int]) -> relax.Var:
    """``value`` with mean 0 and variance 1 over ``axes``."""
    from tvm.relax import op

    centred = net(op.subtract(value, net(op.mean(value, axis=axes, keepdims=True))))
    variance = net(op.mean(net(op.multiply(centred, centred)), axis=axes, keepdims=True))
    return net(op.divide(centred, net(op.sqrt(net(op.add(variance, _number(_EPSILON)))))))


def _scaled(net: Forward, value: relax.Expr, name: str, *shape: int) -> relax.Var:
    from tvm.relax import op

    scaled = net(op.multiply(value, net.near(1, f"{name}_scale", *shape)))
    return net(op.add(scaled, net.near(0, f"{name}_shift", *shape)))


def _batch_norm(net: Forward, value: relax.Expr, name: str, channels: int) -> relax.Var:
    return _scaled(net, _normalised(net, value, [0, 2, 3]), name, channels, 1, 1)


def _layer_norm(net: Forward, value: relax.Expr, name: str, width: int) -> relax.Var:
    return _scaled(net, _normalised(net, value, [-1]), name, width)


def _residual_block(net: Forward, value: relax.Expr, name: str, before: int, after: int, stride: int) -> relax.Var:
    from tvm.relax import op

    inner = _batch_norm(net, _conv(net, value, f"{name}_conv1", before, after, 3, stride), f"{name}_norm1", after)
    inner = _conv(net, net(op.nn.relu(inner)), f"{name}_conv2", after, after)
    inner = _batch_norm(net, inner, f"{name}_norm2", after)
    if before != after or stride != 1:
        value = _conv(net, value, f"{name}_project", before, after, 1, stride)
    return net(op.nn.relu(net(op.add(inner, value))))


def _two_convs(net: Forward, value: relax.Expr, name: str, before: int, after: int) -> relax.Var:
    from tvm.relax import op

    for index, width in enumerate((before, after)):
        value = _conv(net, value, f"{name}_conv{index}", width, after)
        value = net(op.nn.relu(net(op.add(value, net.near(0, f"{name}_bias{index}", after, 1, 1)))))
    return value


def _upsampled(net: Forward, value: relax.Expr) -> relax.Var:
    """Each pixel four times: nearest-neighbour up-sampling by 2."""
    from tvm.relax import op

    batch, channels, height, width = (int(size) for size in value.ty.shape)
    spread = net(op.reshape(value, (batch, channels, height, 1, width, 1)))
    repeated = net(op.broadcast_to(spread, (batch, channels, height, 2, width, 2)))
    return net(op.reshape(repeated, (batch, channels, 2 * height, 2 * width)))


def _attention(
    net: Forward, value: relax.Expr, name: str, batch: int, tokens: int, width: int, heads: int
) -> relax.Var:
    from tvm import relax
    from tvm.relax import op

    depth = width // heads
    parts = net(op.split(_linear(net, value, f"{name}_qkv", width, 3 * width), 3, axis=1))
    split = [net(op.reshape(net(relax.TupleGetItem(parts, i)), (batch, tokens, heads, depth))) for i in range(3)]
    query, values = (net(op.permute_dims(split[i], [0, 2, 1, 3])) for i in (0, 2))
    scores = net(op.matmul(query, net(op.permute_dims(split[1], [0, 2, 3, 1]))))
    weights = net(op.nn.softmax(net(op.multiply(scores, _number(depth**-0.5)))))
    mixed = net(op.permute_dims(net(op.matmul(weights, values)), [0, 2, 1, 3]))
    return _linear(net, net(op.reshape(mixed, (batch * tokens, width))), f"{name}_out", width, width)


def _gelu(net: Forward, value: relax.Expr) -> relax.Var:
    """The tanh approximation (Hendrycks and Gimpel, 2016)."""
    from tvm.relax import op

    cube = net(op.multiply(net(op.multiply(value, value)), value))
    inner = net(op.add(value, net(op.multiply(cube, _number(0.044715)))))
    gate = net(op.tanh(net(op.multiply(inner, _number(math.sqrt(2 / math.pi))))))
    return net(op.multiply(net(op.multiply(value, _number(0.5))), net(op.add(gate, _number(1)))))


TRAINING: Mapping[str, TrainingModel] = {
    model.name: model for model in (mlp_train(), resnet_train(), unet_train(), transformer_train())
}

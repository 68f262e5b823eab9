"""Three small models of different kinds: convolutions, int8 with narrow kernels, and a block of a transformer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tvm
from tvm import relax

from tests.cli.small_models import two_branches
from tests.passes.relax.narrow.quantised import Network
from tvm_memopt.frontends import import_model


def convolutions(folder: Path) -> tvm.IRModule:
    """Two branches of float convolutions, with pools and a softmax."""
    return import_model(two_branches(folder / "two_branches.onnx"))


def quantised(_folder: Path) -> tvm.IRModule:
    """An int8 network with a residual addition, as importers of quantised models write it."""
    net = Network(seed=3)
    with net.builder.function("main", [net.input], attrs={"num_input": 1}):
        with net.builder.dataflow():
            first = net.convolution(net.input)
            second = net.convolution(net.convolution(first, 32), 16)
            result = net.builder.emit_output(net.classifier(net.pool(net.addition(first, second))))
        net.builder.emit_func_output(result)
    return net.builder.get()


def transformer(_folder: Path) -> tvm.IRModule:
    """Attention with four heads and a feed-forward layer, over 16 tokens of 32 numbers."""
    tokens, width, heads = 16, 32, 4
    random = np.random.default_rng(1)
    builder = relax.BlockBuilder()
    x = relax.Var("tokens", relax.TensorType((tokens, width), "float32"))

    def weight(*shape: int) -> relax.Expr:
        return relax.const((random.standard_normal(shape) / np.sqrt(shape[0])).astype("float32"))

    def emit(call: relax.Expr) -> relax.Var:
        return builder.emit(builder.normalize(call))

    def normed(value: relax.Expr) -> relax.Var:
        return emit(relax.op.nn.layer_norm(value, relax.const(np.ones(width, "float32")), weight(width), axes=[-1]))

    def split(value: relax.Expr) -> relax.Var:
        apart = emit(relax.op.reshape(value, (tokens, heads, width // heads)))
        return emit(relax.op.permute_dims(apart, [1, 0, 2]))

    with builder.function("main", [x], attrs={"num_input": 1}):
        with builder.dataflow():
            start = normed(x)
            query, key, content = (split(emit(relax.op.matmul(start, weight(width, width)))) for _ in range(3))
            scores = emit(relax.op.matmul(query, emit(relax.op.permute_dims(key, [0, 2, 1]))))
            shares = emit(relax.op.nn.softmax(emit(relax.op.multiply(scores, relax.const(0.35, "float32"))), axis=-1))
            mixed = emit(relax.op.permute_dims(emit(relax.op.matmul(shares, content)), [1, 0, 2]))
            joined = emit(relax.op.matmul(emit(relax.op.reshape(mixed, (tokens, width))), weight(width, width)))
            middle = emit(relax.op.add(x, joined))
            grown = emit(relax.op.nn.gelu(emit(relax.op.matmul(normed(middle), weight(width, 4 * width)))))
            last = emit(relax.op.add(middle, emit(relax.op.matmul(grown, weight(4 * width, width)))))
            result = builder.emit_output(last)
        builder.emit_func_output(result)
    return builder.get()


MODELS = {"convolutions": convolutions, "int8": quantised, "transformer": transformer}

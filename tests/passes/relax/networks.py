"""Small networks: what users' models are made of."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import tvm
from tvm import relax
from tvm.relax import op

from tests.passes.relax.running import one_function, tensor


def constant(*shape: int, seed: int = 3) -> relax.Expr:
    values = np.random.default_rng([seed, *shape]).standard_normal(shape)
    return relax.const((values / max(shape[-1], 1) ** 0.5).astype("float32"))


def residual_network(size: int = 10, channels: int = 4) -> tvm.IRModule:
    """Padded convolutions with batch norm, a skip connection, pooling and a classifier."""
    x = tensor("x", (1, channels, size, size))

    def body(b: relax.BlockBuilder) -> relax.Expr:
        value = x
        for layer in range(2):
            inner = b.emit(op.nn.conv2d(value, constant(channels, channels, 3, 3, seed=layer), padding=1))
            inner = b.emit(op.multiply(inner, constant(1, channels, 1, 1, seed=layer)))
            inner = b.emit(op.nn.relu(b.emit(op.add(inner, constant(1, channels, 1, 1, seed=9)))))
            inner = b.emit(op.nn.conv2d(inner, constant(channels, channels, 3, 3, seed=layer + 5), padding=1))
            value = b.emit(op.nn.relu(b.emit(op.add(inner, value))))
        pooled = b.emit(op.nn.max_pool2d(value, (2, 2), (2, 2)))
        flat = b.emit(op.reshape(pooled, (1, -1)))
        return op.nn.softmax(b.emit(op.matmul(flat, constant(channels * (size // 2) ** 2, 10))))

    return one_function([x], body)


def small_network() -> tvm.IRModule:
    """One padded convolution with a skip, a view and a matrix product: (1,4,10,10) to (1,10)."""
    x = tensor("x", (1, 4, 10, 10))

    def body(b: relax.BlockBuilder) -> relax.Expr:
        found = b.emit(op.nn.relu(b.emit(op.nn.conv2d(x, constant(4, 4, 3, 3), padding=1))))
        flat = b.emit(op.reshape(b.emit(op.add(found, x)), (1, 400)))
        return op.nn.softmax(b.emit(op.matmul(flat, constant(400, 10))))

    return one_function([x], body)


def transformer_block(tokens: int = 12, width: int = 24) -> tvm.IRModule:
    """Layer norm, one attention head, residuals and a feed-forward part."""
    x = tensor("x", (tokens, width))

    def body(b: relax.BlockBuilder) -> relax.Expr:
        one, zero = relax.const(np.ones(width, "float32")), relax.const(np.zeros(width, "float32"))
        normal = b.emit(op.nn.layer_norm(x, one, zero, axes=[-1]))
        q, k, v = (b.emit(op.matmul(normal, constant(width, width, seed=i))) for i in range(3))
        weights = b.emit(op.nn.softmax(b.emit(op.matmul(q, b.emit(op.permute_dims(k))))))
        residual = b.emit(op.add(x, b.emit(op.matmul(weights, v))))
        hidden = b.emit(op.nn.gelu(b.emit(op.matmul(residual, constant(width, 2 * width)))))
        return op.add(residual, b.emit(op.matmul(hidden, constant(2 * width, width))))

    return one_function([x], body)


def branches_and_joins(rows: int = 16) -> tvm.IRModule:
    """Wide middle: split, different work in each part, concatenation, views, three returned tensors."""
    x, y = tensor("x", (rows, 24)), tensor("y", (24, 8))

    def body(b: relax.BlockBuilder) -> relax.Expr:
        parts = b.emit(op.split(b.emit(op.exp(x)), 3, axis=1))
        first, second, third = (b.emit(relax.TupleGetItem(parts, i)) for i in range(3))
        mixed = b.emit(op.matmul(first, b.emit(op.permute_dims(second))))
        joined = b.emit(op.concat([b.emit(op.nn.relu(first)), third, b.emit(op.nn.softmax(second))], axis=1))
        flat = b.emit(op.reshape(joined, (rows * 24,)))
        again = b.emit(op.reshape(b.emit(op.multiply(flat, flat)), (rows, 24)))
        projected = b.emit(op.matmul(again, y))
        return relax.Tuple([projected, b.emit(op.sum(mixed, axis=1)), b.emit(op.add(projected, third))])

    return one_function([x, y], body)


def long_chain(length: int = 6, size: int = 32) -> tvm.IRModule:
    """Matrix products and element-wise work that may run in place."""
    x = tensor("x", (size, size))

    def body(b: relax.BlockBuilder) -> relax.Expr:
        value = x
        for i in range(length):
            value = b.emit(op.matmul(value, constant(size, size, seed=i)))
            value = b.emit(op.nn.relu(b.emit(op.multiply(value, relax.const(np.float32(0.5))))))
        return value

    return one_function([x], body)


NETWORKS = {
    "residual": residual_network,
    "transformer": transformer_block,
    "branches": branches_and_joins,
    "chain": long_chain,
}


def _quarter(b: relax.BlockBuilder, expr: relax.Expr) -> relax.Expr:
    return b.emit(op.multiply(expr, relax.const(np.float32(0.25))))


Values = list[relax.Expr]


def _split_and_swap(b: relax.BlockBuilder, value: relax.Expr) -> relax.Expr:
    parts = b.emit(op.split(value, 2, axis=1))
    left, right = b.emit(relax.TupleGetItem(parts, 0)), b.emit(relax.TupleGetItem(parts, 1))
    return op.concat([right, b.emit(op.nn.relu(left))], axis=1)


def _flatten_and_back(b: relax.BlockBuilder, value: relax.Expr, side: int) -> relax.Expr:
    flat = b.emit(op.reshape(value, (side * side,)))
    return op.reshape(b.emit(op.exp(b.emit(op.minimum(flat, relax.const(np.float32(2)))))), (side, side))


def _convolve(b: relax.BlockBuilder, value: relax.Expr, side: int) -> relax.Expr:
    image = b.emit(op.reshape(value, (1, 1, side, side)))
    found = b.emit(op.nn.relu(b.emit(op.nn.conv2d(image, constant(1, 1, 3, 3), padding=1))))
    return op.reshape(found, (side, side))


def _slice(b: relax.BlockBuilder, value: relax.Expr, begin: int, end: int) -> relax.Expr:
    return b.emit(op.strided_slice(value, axes=[0], begin=[begin], end=[end]))


STEPS: dict[str, Callable[[relax.BlockBuilder, relax.Expr, relax.Expr, int], relax.Expr]] = {
    "matmul": lambda b, x, y, n: _quarter(b, b.emit(op.matmul(x, y))),
    "add": lambda b, x, y, n: op.add(x, y),
    "multiply": lambda b, x, y, n: _quarter(b, b.emit(op.multiply(x, y))),
    "relu": lambda b, x, y, n: op.nn.relu(x),
    "softmax": lambda b, x, y, n: op.nn.softmax(x),
    "concat": lambda b, x, y, n: _slice(b, b.emit(op.concat([x, y], axis=0)), n // 2, n + n // 2),
    "split": lambda b, x, y, n: _split_and_swap(b, x) if n % 2 == 0 else op.nn.relu(y),
    "reshape": lambda b, x, y, n: _flatten_and_back(b, x, n),
    "conv": lambda b, x, y, n: _convolve(b, x, n),
    "transpose": lambda b, x, y, n: op.permute_dims(x),
    "sum": lambda b, x, y, n: op.add(x, b.emit(op.sum(y, axis=[1], keepdims=True))),
    "pad": lambda b, x, y, n: op.add(b.emit(op.nn.pad(_slice(b, x, 1, n - 1), [1, 1, 0, 0])), y),
}


def random_network(seed: int, side: int) -> tvm.IRModule:
    """A random DAG over square matrices, from 5 to 14 operations; some values are never used."""
    choose = random.Random(seed)
    inputs = [tensor("x", (side, side)), tensor("y", (side, side))]

    def body(b: relax.BlockBuilder) -> relax.Expr:
        values: Values = list(inputs)
        for _ in range(choose.randint(5, 14)):
            step = STEPS[choose.choice(sorted(STEPS))]
            values.append(b.emit(step(b, choose.choice(values[-6:]), choose.choice(values[-6:]), side)))
        returned = [values[-1], *choose.sample(values, choose.randint(0, 3))]
        return relax.Tuple(returned)

    return one_function(inputs, body)


def together(modules: list[tvm.IRModule]) -> tvm.IRModule:
    """One module with the ``main`` of each as ``network0``, ``network1``, …"""
    functions = {}
    for index, module in enumerate(modules):
        name = f"network{index}"
        functions[tvm.ir.GlobalVar(name)] = module["main"].with_attr("global_symbol", name)
    return relax.transform.Normalize()(tvm.IRModule(functions))

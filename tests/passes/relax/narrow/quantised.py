"""Small quantised networks: convolutions, additions, concatenations and pools between int8 tensors."""

from __future__ import annotations

import numpy as np
import tvm
import tvm_ffi
from tvm import relax
from tvm.ir import Var

SHAPE = (1, 8, 8, 16)


class Network:
    """Builds a quantised NHWC network call by call, as TVM's importers write it."""

    def __init__(self, seed: int = 0, shape: tuple[int, ...] = SHAPE, dtype: str = "int8") -> None:
        self.rng, self.dtype = np.random.default_rng(seed), dtype
        self.builder = relax.BlockBuilder()
        self.input = relax.Var("x", relax.TensorType(shape, dtype))
        self.scales: dict[Var, tuple[float, int]] = {self.input: (0.05, 3)}

    def emit(self, call: relax.Expr) -> Var:
        return self.builder.emit(call)

    def dequantized(self, x: Var) -> Var:
        scale, zero = self.scales[x]
        kind = "int8" if self.dtype == "int8" else self.dtype
        return self.emit(relax.op.dequantize(x, relax.const(scale, "float32"), relax.const(zero, kind), axis=-1))

    def quantized(self, x: Var) -> Var:
        scale, zero = float(self.rng.uniform(0.02, 0.2)), int(self.rng.integers(0, 9))
        point = relax.const(zero, self.dtype)
        result = self.emit(relax.op.quantize(x, relax.const(scale, "float32"), point, axis=-1, out_dtype=self.dtype))
        self.scales[result] = (scale, zero)
        return result

    def weight(self, shape: tuple[int, ...]) -> Var:
        values = relax.const(self.rng.integers(-127, 128, shape).astype("int8"), "int8")
        scales = relax.const(self.rng.uniform(0.001, 0.01, shape[-1]).astype("float32"), "float32")
        zeros = relax.const(np.zeros(shape[-1], "int8"), "int8")
        return self.emit(relax.op.dequantize(values, scales, zeros, axis=len(shape) - 1))

    def convolution(self, x: Var, channels: int = 16, size: int = 3, *, relu: bool = True) -> Var:
        inner = int(x.ty.shape.values[3])
        weight = self.weight((size, size, inner, channels))
        y = self.emit(
            relax.op.nn.conv2d(
                self.dequantized(x), weight, padding=[size // 2] * 4, data_layout="NHWC", kernel_layout="HWIO"
            )
        )
        bias = relax.const(self.rng.standard_normal(channels).astype("float32"), "float32")
        y = self.emit(relax.op.add(y, bias))
        return self.quantized(self.emit(relax.op.nn.relu(y)) if relu else y)

    def addition(self, x: Var, y: Var) -> Var:
        return self.quantized(self.emit(relax.op.add(self.dequantized(x), self.dequantized(y))))

    def concatenation(self, x: Var, y: Var) -> Var:
        return self.quantized(self.emit(relax.op.concat([self.dequantized(x), self.dequantized(y)], axis=3)))

    def pool(self, x: Var) -> Var:
        pooled = relax.op.nn.max_pool2d(x, (3, 3), (1, 1), (1, 1, 1, 1), layout="NHWC")
        result = self.emit(pooled)
        self.scales[result] = self.scales[x]
        return result

    def classifier(self, x: Var) -> Var:
        mean = self.quantized(self.emit(relax.op.mean(self.dequantized(x), [1, 2])))
        channels = int(x.ty.shape.values[3])
        logits = self.emit(relax.op.matmul(self.dequantized(mean), self.weight((channels, 5))))
        return self.quantized(self.emit(relax.op.nn.softmax(self.dequantized(self.quantized(logits)))))


def network(build: object, seed: int = 0, dtype: str = "int8") -> tvm.IRModule:
    """The module of ``build(network, input)``, which returns the result."""
    net = Network(seed, dtype=dtype)
    with net.builder.function("main", [net.input], attrs={"num_input": 1}):
        with net.builder.dataflow():
            result = net.builder.emit_output(build(net, net.input))
        net.builder.emit_func_output(result)
    return net.builder.get()


def residual(net: Network, x: Var) -> Var:
    first = net.convolution(x)
    second = net.convolution(net.convolution(first), relu=False)
    return net.classifier(net.addition(first, second))


def random_network(seed: int, steps: int) -> tvm.IRModule:
    """Random branches, concatenations of different scales, residual additions and pools."""

    def build(net: Network, x: Var) -> Var:
        known = [x]
        for _ in range(steps):
            one, other = (known[int(i)] for i in net.rng.integers(0, len(known), 2))
            kind = int(net.rng.integers(0, 5))
            same = tvm_ffi.structural_equal(one.ty.shape, other.ty.shape)
            if kind == 0 and same:
                known.append(net.addition(one, other))
            elif kind == 1 and int(one.ty.shape.values[3]) <= 16:
                known.append(net.concatenation(one, other))
            elif kind == 2:
                known.append(net.pool(one))
            else:
                known.append(net.convolution(one, int(net.rng.choice([5, 16])), int(net.rng.choice([1, 3]))))
        return net.classifier(net.concatenation(known[-1], known[-2]))

    return network(build, seed)

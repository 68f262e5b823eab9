"""Quantised operators in integers: each rule returns the integers of a result, or None where it does not apply."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tvm import relax

from tvm_memopt.passes.relax.integer.fixed_point import ACCUMULATOR_LIMIT, Factors, factors, mean_factor
from tvm_memopt.passes.relax.integer.kernels import Kernels, Result, Tensor
from tvm_memopt.passes.relax.integer.operands import Operand, Values, operator, shape_of

_ADDITION_SHIFT = 20
_SUMS = {"relax.add": 1, "relax.subtract": -1}
_MEANS = ("relax.mean", "relax.nn.adaptive_avg_pool2d")


@dataclass(frozen=True)
class Rules:
    """The rules for the operators of one function."""

    values: Values
    kernels: Kernels

    def sum_or_product(self, call: relax.Call, result: Result) -> relax.Expr | None:
        """Addition, subtraction and multiplication of two quantised tensors, as TFLite's ADD, SUB and MUL."""
        name = operator(call)
        if name not in (*_SUMS, "relax.multiply"):
            return None
        operands = [self.values.operand(argument) for argument in call.args]
        known = [o for o in operands if o is not None and o.is_per_tensor and o.dtype != "int32"]
        if len(known) != 2:
            return None
        one, other = (float(o.scale) for o in known)
        if name == "relax.multiply":
            # TFLite computes this factor in float32.
            real = np.float32(one) * np.float32(other) / np.float32(result.scale)
            return self.kernels.multiplied(known, factors([real]), result)
        largest = 2 * max(one, other)
        scales = factors([one / largest, other / largest])
        signed = Factors(scales.mantissas * np.array([1, _SUMS[name]], "int32"), scales.exponents)
        total = factors([largest / (2**_ADDITION_SHIFT * result.scale)])
        return self.kernels.added(known, signed, total, result)

    def mean(self, call: relax.Call, result: Result) -> relax.Expr | None:
        """A mean over axes, as TFLite's MEAN."""
        if operator(call) not in _MEANS or not self._is_global(call):
            return None
        operand = self.values.operand(call.args[0])
        if operand is None or not operand.is_per_tensor:
            return None
        axes, keep = self._reduced(call, operand)
        count = int(np.prod([operand.shape[axis] for axis in axes]))
        if count * operand.reach >= ACCUMULATOR_LIMIT:
            return None
        factor = mean_factor(float(operand.scale) / result.scale, count)
        sums = relax.op.sum(centred(operand, "int32"), axes, keep)
        return self.kernels.requantized(Tensor(sums, result.shape, "int32"), factor, None, 0, result)

    def _is_global(self, call: relax.Call) -> bool:
        """Whether a pooling has one window; a mean over axes has."""
        return operator(call) == "relax.mean" or all(shape_of(call)[axis] == 1 for axis in _spatial(call))

    def _reduced(self, call: relax.Call, operand: Operand) -> tuple[list[int], bool]:
        """The axes of a mean, and whether they are kept."""
        if operator(call) != "relax.mean":
            return _spatial(call), True
        axes = range(len(operand.shape)) if call.attrs.axis is None else call.attrs.axis
        return sorted(int(axis) % len(operand.shape) for axis in axes), bool(call.attrs.keepdims)

    def average_pool(self, call: relax.Call, result: Result) -> relax.Expr | None:
        """Average pooling whose windows all have the same number of elements."""
        if operator(call) != "relax.nn.avg_pool2d":
            return None
        operand, attrs = self.values.operand(call.args[0]), call.attrs
        padded = any(int(width) for width in attrs.padding)
        if operand is None or not operand.is_per_tensor or attrs.ceil_mode:
            return None
        if (padded and not attrs.count_include_pad) or any(int(d) != 1 for d in attrs.dilation):
            return None
        window = [int(extent) for extent in attrs.pool_size]
        count = int(np.prod(window))
        if count * operand.reach >= ACCUMULATOR_LIMIT:
            return None
        sums = self.kernels.window_sums(operand, result.shape, call)
        real = float(operand.scale) / (result.scale * count)
        return self.kernels.requantized(Tensor(sums, result.shape, "int32"), factors([real]), None, 0, result)

    def leaky_relu(self, call: relax.Call, result: Result) -> relax.Expr | None:
        """A leaky ReLU, as TFLite's LEAKY_RELU, which has a factor for each sign."""
        operand = self.values.operand(call.args[0]) if operator(call) == "relax.nn.leakyrelu" else None
        if operand is None or not operand.is_per_tensor or operand.dtype == "int32":
            return None
        scale, alpha, out = (np.float32(v) for v in (operand.scale, call.attrs.alpha, result.scale))
        if alpha < 0:
            return None
        reals = [float(scale) / float(out), float(scale * alpha / out)]
        return self.kernels.leaky(operand, factors(reals), result)

    def concatenation(self, call: relax.Call, result: Result) -> relax.Expr | None:
        """A concatenation of quantised tensors, each brought to the scale of the result."""
        if operator(call) != "relax.concat" or not isinstance(call.args[0], relax.Tuple):
            return None
        parts = [self.values.operand(field) for field in call.args[0].fields]
        made = [None if part is None else self.requantized(part, result) for part in parts]
        if any(part is None for part in made):
            return None
        return relax.Call(call.op, [relax.Tuple(made)], call.attrs, call.ty_args)

    def requantized(self, operand: Operand, result: Result) -> relax.Expr | None:
        """``operand`` in the scale of ``result``, as TFLite's QUANTIZE."""
        if not operand.is_per_tensor or operand.dtype == "int32":
            return None
        same = float(operand.scale) == result.scale and operand.dtype == result.dtype
        if same and int(operand.zero) == result.zero and result.is_whole:
            return operand.expr
        ratio = None if same else factors([float(operand.scale) / result.scale])
        shaped = Result(operand.shape, result.dtype, result.scale, result.zero, result.low, result.high)
        return self.kernels.requantized_integers(operand, ratio, shaped)


def centred(operand: Operand, dtype: str) -> relax.Expr:
    """``integer − zero`` as a tensor of ``dtype``."""
    wide = relax.op.astype(operand.expr, dtype)
    if not np.any(operand.zero):
        return wide
    return relax.op.subtract(wide, relax.const(operand.zero.astype(dtype)))


def _spatial(call: relax.Call) -> list[int]:
    return [str(call.attrs.layout).index(axis) for axis in "HW"]

"""TFLite's definition of quantised operators in plain Python, step by step as its sources write it."""

from __future__ import annotations

import math

import numpy as np

LIMIT = 2**31


def saturating_rounding_doubling_high_mul(a: int, b: int) -> int:
    """gemmlowp: the product's high half, doubled; a division that truncates after a nudge by half."""
    product = a * b
    nudge = 2**30 if product >= 0 else 1 - 2**30
    total = product + nudge
    return total // LIMIT if total >= 0 else -(-total // LIMIT)


def rounding_divide_by_pot(x: int, exponent: int) -> int:
    mask = (1 << exponent) - 1
    threshold = (mask >> 1) + (1 if x < 0 else 0)
    return (x >> exponent) + (1 if (x & mask) > threshold else 0)


def quantize_multiplier(real: float) -> tuple[int, int]:
    fraction, shift = math.frexp(real)
    fixed = math.floor(fraction * LIMIT + 0.5)
    if fixed == LIMIT:
        fixed, shift = fixed // 2, shift + 1
    return (0, 0) if shift < -31 else (fixed, shift)


def multiply(x: int, multiplier: int, shift: int) -> int:
    """MultiplyByQuantizedMultiplier with two roundings."""
    left, right = max(shift, 0), max(-shift, 0)
    return rounding_divide_by_pot(saturating_rounding_doubling_high_mul(x * (1 << left), multiplier), right)


def multiply_once(x: int, multiplier: int, shift: int) -> int:
    """MultiplyByQuantizedMultiplier with one rounding."""
    total = 31 - shift
    return (x * multiplier + (1 << (total - 1))) >> total


def scaled(x: int, real: float) -> int:
    return multiply(x, *quantize_multiplier(real))


def to_int8(value: int, zero: int, low: int = -128, high: int = 127) -> int:
    return min(max(value + zero, low), high)


def each(function, *arrays: np.ndarray) -> np.ndarray:
    """``function`` of Python integers for each element, after broadcasting."""
    spread = np.broadcast_arrays(*(np.asarray(a) for a in arrays))
    flat = [function(*map(int, values)) for values in zip(*(a.ravel() for a in spread), strict=True)]
    return np.array(flat, "int64").reshape(spread[0].shape)


def add(a, b, one, other, out, sign: int = 1, low: int = -128) -> np.ndarray:
    """ADD and SUB. ``one``, ``other``, ``out``: (scale, zero)."""
    largest = 2 * max(one[0], other[0])

    def element(x: int, y: int) -> int:
        first = scaled((x - one[1]) << 20, one[0] / largest)
        multiplier, shift = quantize_multiplier(other[0] / largest)
        second = multiply((y - other[1]) << 20, sign * multiplier, shift)
        return to_int8(scaled(first + second, largest / (2**20 * out[0])), out[1], low)

    return each(element, a, b)


def mul(a, b, one, other, out) -> np.ndarray:
    real = float(np.float32(one[0]) * np.float32(other[0]) / np.float32(out[0]))
    return each(lambda x, y: to_int8(scaled((x - one[1]) * (y - other[1]), real), out[1]), a, b)


def requantize(a, one, out, low: int = -128) -> np.ndarray:
    return each(lambda x: to_int8(scaled(x - one[1], one[0] / out[0]), out[1], low), a)


def leaky_relu(a, one, out, alpha: float) -> np.ndarray:
    negative = float(np.float32(one[0]) * np.float32(alpha) / np.float32(out[0]))

    def element(x: int) -> int:
        value = x - one[1]
        return to_int8(scaled(value, one[0] / out[0] if value >= 0 else negative), out[1])

    return each(element, a)


def mean(a, one, out, axes) -> np.ndarray:
    """MEAN, with the number of elements divided out of the multiplier."""
    count = int(np.prod([a.shape[axis] for axis in axes]))
    multiplier, shift = quantize_multiplier(one[0] / out[0])
    bits = min(count.bit_length() - 1, 32, 31 + shift)
    folded = (multiplier << bits) // count
    sums = (a.astype("int64") - one[1]).sum(tuple(axes))
    return each(lambda x: to_int8(multiply(x, folded, shift - bits), out[1]), sums)


def convolution(a, weight, bias, one, scales, out, low: int = -128) -> np.ndarray:
    """CONV_2D, NHWC and HWIO, stride 1, padded to the same size with the zero point. ``scales``: of each channel."""
    size = weight.shape[0]
    padded = np.pad(a.astype("int64") - one[1], ((0, 0), (size // 2, size // 2), (size // 2, size // 2), (0, 0)))
    height, width = a.shape[1:3]
    windows = [padded[:, y : y + height, x : x + width, :] for y in range(size) for x in range(size)]
    flat = np.concatenate(windows, axis=3) @ weight.astype("int64").reshape(-1, weight.shape[3])
    reals = np.broadcast_to([one[0] * s / out[0] for s in scales], flat.shape)
    pairs = [quantize_multiplier(real) for real in reals.ravel()]
    values = (flat + bias).ravel().tolist()
    found = [to_int8(multiply(v, *pair), out[1], low) for v, pair in zip(values, pairs, strict=True)]
    return np.array(found).reshape(flat.shape)


def fully_connected(a, weight, bias, one, scale, out) -> np.ndarray:
    """FULLY_CONNECTED of one scale, rounded once as in LiteRT 2."""
    real = float(np.float32(one[0]) * np.float32(scale)) / out[0]
    sums = (a.astype("int64") - one[1]) @ weight.astype("int64") + bias
    return each(lambda x: to_int8(multiply_once(x, *quantize_multiplier(real)), out[1]), sums)

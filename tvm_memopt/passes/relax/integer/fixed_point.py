"""Rescaling of int32 accumulators by fixed-point factors, as TFLite's reference kernels define it.

Source: ``MultiplyByQuantizedMultiplier`` and ``QuantizeMultiplier`` of TFLite (kernels/internal/common.h,
quantization_util.cc), with the double rounding of gemmlowp's ``SaturatingRoundingDoublingHighMul`` and
``RoundingDivideByPOT``; Jacob et al., CVPR 2018, section 2.2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from tvm import tirx

Expr: TypeAlias = Any  # a scalar of TIR
_MANTISSA_BITS = 31
_GUARD_BITS = 31
INT32_LIMIT = 2**31
ACCUMULATOR_LIMIT = 2**_GUARD_BITS
"""Accumulators are below it in magnitude."""


@dataclass(frozen=True)
class Factors:
    """Factors ``mantissa · 2^(exponent − 31)``, one for all channels or one for each."""

    mantissas: np.ndarray[Any, Any]  # int32
    exponents: np.ndarray[Any, Any]  # int8

    @property
    def is_uniform(self) -> bool:
        """Whether all channels have the same factor."""
        return len(set(zip(self.mantissas.tolist(), self.exponents.tolist(), strict=True))) == 1


def quantize_multiplier(real: float) -> tuple[int, int]:
    """``real`` > 0 as (mantissa, exponent), with the mantissa in [2^30, 2^31). Too small a factor becomes 0."""
    if real == 0.0:
        return 0, 0
    fraction, exponent = math.frexp(real)
    mantissa = math.floor(fraction * 2**_MANTISSA_BITS + 0.5)
    if mantissa == 2**_MANTISSA_BITS:
        mantissa, exponent = mantissa // 2, exponent + 1
    return (0, 0) if exponent < -_MANTISSA_BITS else (mantissa, exponent)


def factors(reals: Iterable[float]) -> Factors:
    """The factors nearest to ``reals``."""
    pairs = [quantize_multiplier(float(real)) for real in reals]
    return Factors(np.array([m for m, _ in pairs], "int32"), np.array([e for _, e in pairs], "int8"))


def mean_factor(real: float, count: int) -> Factors:
    """The factor ``real / count``, with ``count`` divided out of the mantissa as TFLite's MEAN does it."""
    mantissa, exponent = quantize_multiplier(real)
    bits = min(count.bit_length() - 1, 32, _MANTISSA_BITS + exponent)
    return Factors(np.array([(mantissa << bits) // count], "int32"), np.array([exponent - bits], "int8"))


def rescaled(value: Expr, mantissa: Expr | int, exponent: Expr | int) -> Expr:
    """The int32 ``value`` times ``mantissa · 2^(exponent − 31)``, rounded twice. Its magnitude is below 2^31.

    A value whose shifted form exceeds int32, for which TFLite's result is undefined, is clamped before. Exponents that
    vary give results beyond 2^30 that may differ from TFLite's by one, which a clamp to 8 bits removes.
    """
    left = max(exponent, 0) if isinstance(exponent, int) else tirx.max(exponent, 0)
    right = max(-exponent, 0) if isinstance(exponent, int) else tirx.max(-exponent, 0)
    if not isinstance(left, int) or left:
        limit = tirx.const(INT32_LIMIT - 1, "int32") >> left
        value = tirx.max(tirx.min(value, limit), -limit) << left
    return _divided_by_power_of_two(_doubled_high_product(value, mantissa), right).astype("int32")


def rescaled_once(value: Expr, mantissa: Expr | int, exponent: Expr | int) -> Expr:
    """As ``rescaled``, but rounded once, halves upwards, as LiteRT's FULLY_CONNECTED does."""
    shift = tirx.const(_MANTISSA_BITS - exponent, "int64") if isinstance(exponent, int) else _shift_of(exponent)
    product = value.astype("int64") * _int64(mantissa) + (tirx.const(1, "int64") << (shift - 1))
    limit = tirx.const(INT32_LIMIT - 1, "int64")
    return tirx.max(tirx.min(product >> shift, limit), -limit).astype("int32")


def _shift_of(exponent: Expr) -> Expr:
    return tirx.const(_MANTISSA_BITS, "int64") - exponent.astype("int64")


def _int64(value: Expr | int) -> Expr:
    return tirx.const(value, "int64") if isinstance(value, int) else value.astype("int64")


def _doubled_high_product(value: Expr, mantissa: Expr | int) -> Expr:
    """``value · mantissa / 2^31`` rounded to nearest, halves upwards as gemmlowp's nudge makes them: int64."""
    product = value.astype("int64") * _int64(mantissa) + tirx.const(1 << (_MANTISSA_BITS - 1), "int64")
    return product >> tirx.const(_MANTISSA_BITS, "int64")


def _divided_by_power_of_two(value: Expr, bits: Expr | int) -> Expr:
    """The int64 ``value``, of magnitude below 2^31, divided by 2^bits and rounded to nearest, halves away from zero.

    v + v/2^31 is on the outer side of v by less than one, so that adding half and rounding down sends halves outwards.
    Each operand stands once: one that stood twice would be inlined twice. Where ``bits`` vary and are 0, values from
    2^30 on may become larger by one.
    """
    if isinstance(bits, int) and bits == 0:
        return value
    width = _int64(bits)
    outwards = value * tirx.const((1 << _GUARD_BITS) + 1, "int64")
    half = (tirx.const(1 << _GUARD_BITS, "int64") << width) >> tirx.const(1, "int64")
    return (outwards + half) >> (width + _GUARD_BITS)

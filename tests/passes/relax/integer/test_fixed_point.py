"""Rescaling in fixed point against TFLite's own steps."""

from __future__ import annotations

import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import tirx

from tests.passes.relax.integer import oracle
from tvm_memopt.passes.relax.integer.fixed_point import mean_factor, quantize_multiplier, rescaled, rescaled_once

ACCUMULATORS = st.integers(-(2**31) + 1, 2**31 - 1)
MULTIPLIERS = st.tuples(st.integers(2**30, 2**31 - 1), st.integers(-31, 0))


def value(expr: tvm.ir.Expr) -> int:
    return int(tvm.sym.Analyzer().simplify(expr))


def near_ties(exponent: int) -> st.SearchStrategy[int]:
    step = 1 << -exponent
    return st.builds(lambda n, d: n * step + step // 2 + d, st.integers(-50, 50), st.integers(-1, 1))


@settings(max_examples=200, deadline=None)
@given(ACCUMULATORS, MULTIPLIERS)
def test_rescaling_is_tflites(accumulator: int, multiplier: tuple[int, int]) -> None:
    found = value(rescaled(tirx.const(accumulator, "int32"), *multiplier))
    assert found == oracle.multiply(accumulator, *multiplier)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(-20, -1))
def test_halves_are_rounded_as_by_tflite(data: st.DataObject, exponent: int) -> None:
    accumulator = data.draw(near_ties(exponent))
    for mantissa in (2**30, -(2**30), 2**31 - 1):
        found = value(rescaled(tirx.const(2 * accumulator, "int32"), mantissa, exponent))
        assert found == oracle.multiply(2 * accumulator, mantissa, exponent)


@settings(max_examples=100, deadline=None)
@given(st.integers(-(2**16), 2**16), st.integers(2**30, 2**31 - 1), st.integers(1, 14))
def test_factors_above_one_shift_first(accumulator: int, mantissa: int, exponent: int) -> None:
    found = value(rescaled(tirx.const(accumulator, "int32"), mantissa, exponent))
    assert found == oracle.multiply(accumulator, mantissa, exponent)


def test_what_would_overflow_saturates() -> None:
    assert value(rescaled(tirx.const(2**29, "int32"), 2**30, 10)) >= 2**29
    assert value(rescaled(tirx.const(-(2**29), "int32"), 2**30, 10)) <= -(2**29)


@settings(max_examples=100, deadline=None)
@given(ACCUMULATORS, MULTIPLIERS)
def test_one_rounding_is_literts_in_a_fully_connected(accumulator: int, multiplier: tuple[int, int]) -> None:
    found = value(rescaled_once(tirx.const(accumulator, "int32"), *multiplier))
    assert found == oracle.multiply_once(accumulator, *multiplier)


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-12, 100))
def test_factors_are_the_nearest_in_fixed_point(real: float) -> None:
    mantissa, exponent = quantize_multiplier(real)
    assert (mantissa, exponent) == oracle.quantize_multiplier(real)
    assert mantissa == 0 or abs(mantissa * 2.0 ** (exponent - 31) - real) <= real * 2**-31


def test_a_factor_that_rounds_up_to_one_stays_in_range() -> None:
    assert quantize_multiplier(1 - 2**-40) == (2**30, 1)
    assert quantize_multiplier(0.0) == (0, 0)
    assert quantize_multiplier(2.0**-40) == (0, 0)


def test_the_count_of_a_mean_is_divided_out_of_the_mantissa() -> None:
    factors = mean_factor(1.0, 3)
    assert (int(factors.mantissas[0]), int(factors.exponents[0])) == ((2**30 << 1) // 3, 0)

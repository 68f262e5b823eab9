"""Rewrite the quantised operators of a module to integer arithmetic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import tvm
import tvm_ffi
from tvm import relax
from tvm.ir import Var

from tvm_memopt.passes.relax.integer.arithmetic import Rules
from tvm_memopt.passes.relax.integer.kernels import Kernels, Result
from tvm_memopt.passes.relax.integer.linear import linear
from tvm_memopt.passes.relax.integer.operands import Values, dtype_of, operator
from tvm_memopt.passes.relax.integer.tables import table

_EDGES = ("relax.quantize", "relax.dequantize")


@dataclass(frozen=True)
class IntegerModule:
    """A module with integer arithmetic. ``kept``: how many calls of each operator still compute in floating point."""

    mod: tvm.IRModule
    kept: Mapping[str, int]

    @property
    def note(self) -> str | None:
        """One line on what still computes in floating point, or None if nothing does."""
        if not self.kept:
            return None
        listed = ", ".join(f"{name} ({count})" for name, count in sorted(self.kept.items()))
        return f"integer arithmetic: these operators still compute in floating point: {listed}"


def integer_arithmetic(mod: tvm.IRModule) -> IntegerModule:
    """Rewrite operators between dequantize and quantize to int32 accumulation and fixed-point rescaling.

    Results follow TFLite's definition of the operator and are within one step of those in floating point. An operator
    that has no rule here, or whose accumulator could overflow, is left as it is.
    """
    builder = relax.BlockBuilder(mod)
    for variable, function in mod.functions_items():
        if isinstance(function, relax.Function) and function.body is not None:
            builder.update_func(variable, _rewritten(function, Kernels(builder)))
    rewritten = relax.transform.Normalize()(builder.get())
    rewritten = relax.transform.DeadCodeElimination()(rewritten)
    return IntegerModule(rewritten, _floating(rewritten))


def _rewritten(function: relax.Function, kernels: Kernels) -> relax.Function:
    values = _values(function)
    rules = Rules(values, kernels)
    blocks = []
    for block in function.body.blocks:
        bindings = [_binding(b, rules) if isinstance(b, relax.VarBinding) else b for b in block.bindings]
        blocks.append(type(block)(bindings))
    body = relax.SeqExpr(blocks, function.body.body)
    return relax.Function(function.params, body, function.ret_ty, function.is_pure, function.attrs)


def _values(function: relax.Function) -> Values:
    bound: dict[Var, relax.Expr] = {}
    readers: Counter[Var] = Counter()
    for block in function.body.blocks:
        for binding in block.bindings:
            if isinstance(binding, relax.VarBinding):
                bound[binding.var] = binding.value
            found: set[Var] = set()
            tvm_ffi.structural_walk(binding.value, (Var, found.add))
            readers.update(found)
    tvm_ffi.structural_walk(function.body.body, (Var, lambda variable: readers.update([variable])))
    return Values(bound, readers)


def _binding(binding: relax.VarBinding, rules: Rules) -> relax.VarBinding:
    if operator(binding.value) != "relax.quantize":
        return binding
    made = _integers(binding.value, rules)
    return binding if made is None else relax.VarBinding(binding.var, made)


def _integers(quantize: relax.Call, rules: Rules) -> relax.Expr | None:
    """What ``quantize`` makes, by integer arithmetic, or None if no rule applies."""
    values = rules.values
    output = values.output(quantize)
    if output is None:
        return None
    info = np.iinfo(output.dtype)
    result = Result(output.shape, output.dtype, float(output.scale), int(output.zero), int(info.min), int(info.max))
    inner, limited = _without_activation(values, quantize.args[0], result)
    made = linear(values, rules.kernels, inner, limited)
    call = values.of(inner)
    for rule in (rules.sum_or_product, rules.mean, rules.average_pool, rules.leaky_relu, rules.concatenation):
        if made is None:
            made = rule(call, limited)
    operand = values.operand(inner) if made is None else None
    if operand is not None:
        made = rules.requantized(operand, limited)
    found = table(values, quantize) if made is None else None
    return made if found is None else rules.kernels.looked_up(*found)


def _without_activation(values: Values, expr: relax.Expr, result: Result) -> tuple[relax.Expr, Result]:
    """``expr`` without clipping at its end, and ``result`` with the limits that stand for it."""
    call = values.of(expr)
    while operator(call) in ("relax.nn.relu", "relax.nn.relu6", "relax.clip") and values.read_once(expr):
        low, high = _clipped_range(call)
        result = replace(
            result, low=max(result.low, _integer(low, result)), high=min(result.high, _integer(high, result))
        )
        expr = call.args[0]
        call = values.of(expr)
    return expr, result


def _clipped_range(call: relax.Call) -> tuple[float, float]:
    if operator(call) == "relax.nn.relu":
        return 0.0, np.inf
    if operator(call) == "relax.nn.relu6":
        return 0.0, 6.0
    return float(call.args[1].value), float(call.args[2].value)


def _integer(real: float, result: Result) -> int:
    """``real`` in the scale of ``result``, within its limits."""
    steps = float(np.clip(real / result.scale, -1e9, 1e9))
    rounded = int(np.sign(steps) * np.floor(abs(steps) + 0.5)) + result.zero
    return int(np.clip(rounded, result.low, result.high))


def _floating(mod: tvm.IRModule) -> dict[str, int]:
    """How many calls of each operator make floating-point tensors, other than conversions at the edges."""
    found: Counter[str] = Counter()

    def on_call(call: relax.Call) -> None:
        name = operator(call)
        if name and name not in _EDGES and "float" in dtype_of(call) and name != "relax.call_tir":
            found[name.removeprefix("relax.")] += 1

    for _, function in mod.functions_items():
        if isinstance(function, relax.Function):
            tvm_ffi.structural_walk(function.body, (tvm.ir.Call, on_call))
    return dict(found)

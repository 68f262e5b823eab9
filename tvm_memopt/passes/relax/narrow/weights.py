"""Keep narrow weights narrow: constants that a call widens are hidden from constant folding.

Folding would replace an int8 weight and its dequantisation by a float32 weight of four times the size.
"""

from __future__ import annotations

import tvm
import tvm_ffi
from tvm import relax
from tvm.ir import Var

from tvm_memopt.passes.relax.narrow.element_types import NARROW_BITS, element_bits, is_narrower

_HIDDEN = "memopt_hidden"
_MOST_SCALARS = 16  # a constant of so few elements is folded: it gains nothing


def fold_all_but_narrow_weights() -> tvm.transform.Pass:
    """FoldConstant, except for calls that widen a narrow constant. Runs after LegalizeOps."""

    @tvm.transform.module_pass(opt_level=0, name="FoldAllButNarrowWeights")
    def run(mod: tvm.IRModule, _context: tvm.transform.PassContext) -> tvm.IRModule:
        hidden: dict[str, dict[Var, tvm.ir.GenericConst]] = {}
        functions = dict(_with_narrow_chains_folded(mod).functions_items())
        for variable, function in functions.items():
            if isinstance(function, relax.Function):
                functions[variable], hidden[variable.name_hint] = _hide(function)
        visible = relax.transform.Normalize()(tvm.IRModule(functions, attrs=mod.attrs))
        folded = relax.transform.FoldConstant()(visible)
        restored = {v: _restore(f, hidden.get(v.name_hint, {})) for v, f in folded.functions_items()}
        return tvm.IRModule(restored, attrs=mod.attrs)

    return run


def _with_narrow_chains_folded(mod: tvm.IRModule) -> tvm.IRModule:
    """Fold calls that make narrow tensors of constants, such as a transposition, so that these can be hidden."""
    functions = dict(mod.functions_items())
    kernels = {v: f for v, f in functions.items() if not isinstance(f, relax.Function)}
    for variable, function in functions.items():
        if isinstance(function, relax.Function):
            bindings = [b for block in function.body.blocks for b in _narrow_chain(block)]
            folded = _evaluate(bindings, kernels)
            functions[variable] = _without(function, folded) if folded else function
    return relax.transform.Normalize()(tvm.IRModule(functions, attrs=mod.attrs))


def _narrow_chain(block: relax.BindingBlock) -> list[relax.VarBinding]:
    """Bindings of call_tir whose arguments are constants or results of such bindings, and no narrower."""
    found: dict[Var, relax.VarBinding] = {}
    for binding in block.bindings:
        call = binding.value if isinstance(binding, relax.VarBinding) else None
        if not isinstance(call, relax.Call) or not isinstance(call.op, tvm.ir.Op) or call.op.name != "relax.call_tir":
            continue
        bits = element_bits(binding.var)
        if bits is None or bits > NARROW_BITS or len(call.args) > 2:
            continue
        arguments = call.args[1].fields
        if any(is_narrower(argument, binding.var) for argument in arguments):
            continue
        if all(isinstance(a, tvm.ir.GenericConst) or a in found for a in arguments):
            found[binding.var] = binding
    return list(found.values())


def _evaluate(
    bindings: list[relax.VarBinding], kernels: dict[tvm.ir.GlobalVar, tvm.ir.BaseFunc]
) -> dict[Var, tvm.ir.GenericConst]:
    if not bindings:
        return {}
    fresh = {binding.var: relax.Var(binding.var.name, binding.var.ty) for binding in bindings}
    values = [tvm_ffi.structural_map(b.value, (Var, lambda variable: fresh.get(variable, variable))) for b in bindings]
    block = relax.BindingBlock(list(map(relax.VarBinding, fresh.values(), values)))
    results = relax.Tuple(list(fresh.values()))
    function = relax.Function([], relax.SeqExpr([block], results), results.ty)
    alone = relax.transform.Normalize()(tvm.IRModule({**kernels, tvm.ir.GlobalVar("main"): function}))
    body = relax.transform.FoldConstant()(alone)["main"].body
    known = {binding.var: binding.value for block in body.blocks for binding in block.bindings}
    results = known.get(body.body, body.body)
    pairs = zip(fresh, (known.get(field, field) for field in results.fields), strict=True)
    return {variable: value for variable, value in pairs if isinstance(value, tvm.ir.GenericConst)}


def _without(function: relax.Function, folded: dict[Var, tvm.ir.GenericConst]) -> relax.Function:
    """``function`` with the results of the bindings in ``folded`` replaced by constants."""
    blocks = []
    for block in function.body.blocks:
        kept = [binding for binding in block.bindings if binding.var not in folded]
        blocks.append(type(block)(kept))
    body = relax.SeqExpr(blocks, function.body.body)
    body = tvm_ffi.structural_map(body, (Var, lambda variable: folded.get(variable, variable)))
    return relax.Function(function.params, body, function.ret_ty, function.is_pure, function.attrs)


def _hide(function: relax.Function) -> tuple[relax.Function, dict[Var, tvm.ir.GenericConst]]:
    """``function`` with each narrow weight as a further parameter, and the constant of each."""
    hidden: dict[Var, tvm.ir.GenericConst] = {}
    variables: dict[tvm.ir.GenericConst, Var] = {}

    def hide(argument: relax.Expr, result: relax.Call) -> relax.Expr:
        if not isinstance(argument, tvm.ir.GenericConst) or not is_narrower(argument, result):
            return argument
        if argument.value.numpy().size <= _MOST_SCALARS:
            return argument
        if argument not in variables:
            variables[argument] = relax.Var(f"{_HIDDEN}{len(variables)}", argument.ty)
            hidden[variables[argument]] = argument
        return variables[argument]

    def on_call(call: relax.Call) -> relax.Call:
        if not isinstance(call.op, tvm.ir.Op) or call.op.name != "relax.call_tir":
            return call
        tensors = [hide(argument, call) for argument in call.args[1].fields]
        return relax.Call(call.op, [call.args[0], relax.Tuple(tensors), *call.args[2:]], call.attrs, call.ty_args)

    body = tvm_ffi.structural_map(function.body, (tvm.ir.Call, on_call))
    if not hidden:
        return function, {}
    changed = relax.Function([*function.params, *hidden], body, function.ret_ty, function.is_pure, function.attrs)
    return changed, hidden


def _restore(function: tvm.ir.BaseFunc, hidden: dict[Var, tvm.ir.GenericConst]) -> tvm.ir.BaseFunc:
    if not hidden:
        return function
    kept = len(function.params) - len(hidden)
    return function.bind_params(dict(zip(function.params[kept:], hidden.values(), strict=True)))

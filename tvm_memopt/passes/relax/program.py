"""A lowered Relax function as a straight list of operations over buffers.

Works on the form after CallTIRRewrite, where each kernel writes into buffers allocated before it. Plain
bindings (``x = y``, tuples and their fields) are resolved away, so that an operation names the buffers
themselves; what is left has an effect on memory or makes a view.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import tvm
import tvm_ffi
from tvm import relax, tirx
from tvm.ir import Var

ALLOC_TENSOR = "relax.builtin.alloc_tensor"
VIEW_OPS = frozenset({"relax.reshape", "relax.memory.view", "relax.memory.ensure_zero_offset"})
DYNAMIC_KERNEL = "relax.vm.call_tir_dyn"
# Library calls that only fill fresh buffers among their arguments, and keep no reference to any.
FILLING_PREFIXES = ("tvm.contrib.",)


class UnsupportedFunctionError(Exception):
    """This function is left as it is; the text says why."""


@dataclass(frozen=True)
class Operation:
    """One call that runs. ``value`` has its plain bindings resolved; ``result`` is the variable it binds.

    ``kind``: ``"kernel"`` (a PrimFunc named ``callee``), ``"view"``, ``"filling"`` (a library call that
    writes into its buffer arguments) or ``"other"`` (anything else: kept in order, never repeated).
    """

    kind: str
    name: str
    result: Var
    value: relax.Expr
    callee: str | None = None

    @property
    def arguments(self) -> list[relax.Expr]:
        """The arguments in the order of the kernel's parameters."""
        if self.kind == "kernel" and not isinstance(self.value.op, tvm.ir.GlobalVar):
            return [*self.value.args[1].fields, *self.value.args[2:]]
        return list(self.value.args) if isinstance(self.value, relax.Call) else []


@dataclass
class Program:
    """``buffers`` maps the variable of each allocation to its call; ``result`` is what is returned."""

    name: str
    function: relax.Function
    bounds: Mapping[str, int]
    buffers: dict[Var, relax.Call] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)
    result: relax.Expr | None = None


def parse_function(mod: tvm.IRModule, variable: tvm.ir.GlobalVar) -> Program:
    """The operations of ``mod[variable]``. Raises UnsupportedFunctionError."""
    function = mod[variable]
    program = Program(variable.name_hint, function, symbolic_bounds(function))
    plain: dict[Var, relax.Expr] = {}
    if not isinstance(function.body, relax.SeqExpr):
        raise UnsupportedFunctionError("its body is not a sequence of bindings")
    for block in function.body.blocks:
        for binding in block.bindings:
            if isinstance(binding, relax.MatchCast):
                raise UnsupportedFunctionError("it matches shapes at run time (match_cast)")
            _parse_binding(program, mod, binding, plain)
    program.result = resolve(function.body.body, plain)
    return program


def symbolic_bounds(function: relax.Function) -> dict[str, int]:
    """Upper bounds of symbolic dimensions, from the function's ``tir_var_upper_bound`` attribute."""
    attrs = function.attrs
    if attrs is None or "tir_var_upper_bound" not in attrs:
        return {}
    return {str(name): int(bound) for name, bound in attrs["tir_var_upper_bound"].items()}


def symbolic_parameters(function: relax.Function) -> list[tirx.Var]:
    """The symbolic dimensions in the types of the parameters, each once."""
    found: dict[tirx.Var, None] = {}

    def note(variable: Var) -> None:
        if not tirx.is_buffer_var(variable):
            found[variable] = None

    for parameter in function.params:
        tvm_ffi.structural_walk(parameter.ty, (Var, note))
    return list(found)


def escaping_variables(value: relax.If) -> set[Var]:
    """Variables from outside whose bytes the result of ``value`` may use."""
    free = set(relax.analysis.free_vars(value))
    found: set[Var] = set()
    for branch in (value.true_branch, value.false_branch):
        uses: dict[Var, set[Var]] = {}
        for block in branch.blocks:
            for binding in block.bindings:
                uses[binding.var] = _may_share(binding.value, uses, free)
        found |= _may_share(branch.body, uses, free)
    return found


def _may_share(expr: relax.Expr, uses: Mapping[Var, set[Var]], free: set[Var]) -> set[Var]:
    if isinstance(expr, Var):
        return {expr} if expr in free else uses.get(expr, set())
    if isinstance(expr, relax.Call) and _op_name(expr) == ALLOC_TENSOR:
        return set()
    inside = relax.analysis.free_vars(expr)
    return set().union(*(_may_share(v, uses, free) for v in inside))


def _parse_binding(
    program: Program, mod: tvm.IRModule, binding: relax.VarBinding, plain: dict[Var, relax.Expr]
) -> None:
    value = resolve(binding.value, plain)
    if isinstance(value, relax.Call):
        if _op_name(value) == ALLOC_TENSOR:
            program.buffers[binding.var] = value
        else:
            program.operations.append(_operation(mod, binding.var, value))
    elif isinstance(value, relax.If):
        program.operations.append(Operation("other", "if", binding.var, _resolve_branches(value, plain)))
    elif isinstance(value, relax.Function | relax.SeqExpr):
        raise UnsupportedFunctionError("it defines a function inside")
    else:
        plain[binding.var] = value


def _operation(mod: tvm.IRModule, result: Var, call: relax.Call) -> Operation:
    callee, name = call.op, _op_name(call)
    if isinstance(callee, tvm.ir.GlobalVar) and isinstance(mod[callee], tirx.PrimFunc):
        return Operation("kernel", callee.name_hint, result, call, callee.name_hint)
    if name == DYNAMIC_KERNEL:
        return Operation("kernel", call.args[0].name_hint, result, call, call.args[0].name_hint)
    if name in VIEW_OPS:
        return Operation("view", name.removeprefix("relax."), result, call)
    if isinstance(callee, relax.ExternFunc) and str(callee.global_symbol).startswith(FILLING_PREFIXES):
        return Operation("filling", str(callee.global_symbol), result, call)
    return Operation("other", name or str(callee), result, call)


def _op_name(call: relax.Call) -> str:
    if isinstance(call.op, tvm.ir.Op):
        return str(call.op.name)
    if isinstance(call.op, relax.ExternFunc):
        return str(call.op.global_symbol)
    return getattr(call.op, "name_hint", "") or type(call.op).__name__


def resolve(expr: relax.Expr, known: Mapping[Var, relax.Expr]) -> relax.Expr:
    """``expr`` with the variables of ``known`` replaced, and fields taken of known tuples."""
    if isinstance(expr, Var):
        return known.get(expr, expr)
    if isinstance(expr, relax.Tuple):
        return relax.Tuple([resolve(field, known) for field in expr.fields])
    if isinstance(expr, relax.TupleGetItem):
        base = resolve(expr.tuple_value, known)
        return base.fields[expr.index] if isinstance(base, relax.Tuple) else relax.TupleGetItem(base, expr.index)
    if isinstance(expr, relax.Call):
        return relax.Call(expr.op, [resolve(a, known) for a in expr.args], expr.attrs, expr.ty_args, expr.span)
    return expr


def _resolve_branches(value: relax.If, plain: Mapping[Var, relax.Expr]) -> relax.Expr:
    return tvm_ffi.structural_map(value, (Var, lambda v: plain.get(v, v)))


def replace_variables(expr: relax.Expr, new: Mapping[Var, relax.Expr]) -> relax.Expr:
    """``expr`` with variables replaced, inside the branches of an If too."""
    return _resolve_branches(expr, new) if isinstance(expr, relax.If) else resolve(expr, new)


def leaves(expr: relax.Expr) -> list[relax.Expr]:
    """The variables and constants in ``expr``, tuples opened."""
    if isinstance(expr, relax.Tuple):
        return [leaf for field in expr.fields for leaf in leaves(field)]
    if isinstance(expr, relax.TupleGetItem):
        return leaves(expr.tuple_value)
    return [expr]

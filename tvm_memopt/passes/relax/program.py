"""A lowered Relax function as a straight list of operations over buffers.

Works on the form after CallTIRRewrite, where each kernel writes into previously allocated buffers. Plain
bindings (``x = y``, tuples and their fields) are resolved, so that operations refer to the buffers directly.
Each remaining operation has an effect on memory or makes a view.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import tvm
import tvm_ffi
from tvm import relax, tirx
from tvm.ir import Var

ALLOC_TENSOR = "relax.builtin.alloc_tensor"
VIEW_OPS = frozenset({"relax.reshape", "relax.memory.view", "relax.memory.ensure_zero_offset"})
DYNAMIC_KERNEL = "relax.vm.call_tir_dyn"
# Library calls that only fill fresh buffers among their arguments and retain no reference to them.
FILLING_PREFIXES = ("tvm.contrib.",)
# TVM calls that only read their arguments, retain no reference to them, and return a new value.
READING_CALLS = frozenset({"relax.run.nonzero", "relax.run.unique", "relax.tensor_to_shape", "relax.shape_of"})


class UnsupportedFunctionError(Exception):
    """The function cannot be planned and stays unchanged. The text gives the reason."""


@dataclass(frozen=True)
class Operation:
    """One operation. ``value`` has its plain bindings resolved; ``result`` is the variable it binds.

    ``kind``: ``"kernel"`` (a PrimFunc named ``callee``), ``"view"``, ``"filling"`` (a library call that writes into
    its buffer arguments), ``"reading"`` (a call that returns a new value), ``"match"`` (a match_cast of ``value`` to
    the type ``matched``, which may define symbolic variables) or ``"other"`` (anything else: kept in order, never
    repeated). ``branches``: the branches of an If as programs whose parameters are the outer variables they use; None
    if one of them is unsupported.
    """

    kind: str
    name: str
    result: Var
    value: relax.Expr
    callee: str | None = None
    matched: relax.Type | None = None
    branches: tuple[Program, Program] | None = None

    @property
    def arguments(self) -> list[relax.Expr]:
        """The arguments in the order of the kernel's parameters."""
        if self.kind == "kernel" and not isinstance(self.value.op, tvm.ir.GlobalVar):
            return [*self.value.args[1].fields, *self.value.args[2:]]
        return list(self.value.args) if isinstance(self.value, relax.Call) else []


@dataclass
class Program:
    """A Relax function as a list of operations.

    ``buffers`` maps the variable of each allocation to its call. ``result``: the returned expression. ``bounds``: upper
    bounds of symbolic dimensions that have one. ``parameters``: the function's parameters; those from ``input_count``
    on are weights.
    """

    name: str
    function: relax.Function
    bounds: Mapping[tirx.Var, int]
    parameters: tuple[Var, ...] = ()
    input_count: int = 0
    buffers: dict[Var, relax.Call] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)
    result: relax.Expr | None = None

    def all_operations(self) -> Iterator[Operation]:
        """All operations. Those of branches follow the If that they belong to."""
        for operation in self.operations:
            yield operation
            for branch in operation.branches or ():
                yield from branch.all_operations()


def parse_function(mod: tvm.IRModule, variable: tvm.ir.GlobalVar) -> Program:
    """The operations of ``mod[variable]``. Raises UnsupportedFunctionError."""
    function = mod[variable]
    if not isinstance(function.body, relax.SeqExpr):
        raise UnsupportedFunctionError("its body is not a sequence of bindings")
    attrs, parameters = function.attrs, tuple(function.params)
    count = int(attrs["num_input"]) if attrs is not None and "num_input" in attrs else len(parameters)
    program = Program(variable.name_hint, function, symbolic_bounds(function), parameters, count)
    _parse_sequence(program, mod, function.body)
    return program


def _parse_sequence(program: Program, mod: tvm.IRModule, sequence: relax.SeqExpr) -> None:
    plain: dict[Var, relax.Expr] = {}
    for block in sequence.blocks:
        for binding in block.bindings:
            _parse_binding(program, mod, binding, plain)
    program.result = resolve(sequence.body, plain)


def symbolic_bounds(function: relax.Function) -> dict[tirx.Var, int]:
    """Upper bounds of symbolic dimensions, from the function's ``tir_var_upper_bound`` attribute.

    Each name refers to a symbolic dimension of the parameters or, failing that, to one that a match_cast defines.
    """
    attrs = function.attrs
    if attrs is None or "tir_var_upper_bound" not in attrs:
        return {}
    named = {str(name): int(bound) for name, bound in attrs["tir_var_upper_bound"].items()}
    of_parameters = symbolic_parameters(function)
    taken = {variable.name for variable in of_parameters}
    matched = [v for v in _matched_variables(function.body) if v.name not in taken]
    return {v: named[v.name] for v in [*of_parameters, *matched] if v.name in named}


def _matched_variables(sequence: relax.SeqExpr) -> list[tirx.Var]:
    bindings = [binding for block in sequence.blocks for binding in block.bindings]
    return [v for b in bindings if isinstance(b, relax.MatchCast) for v in symbolic_variables(b.ty)]


def symbolic_parameters(function: relax.Function) -> list[tirx.Var]:
    """The symbolic dimensions in the types of the parameters, each once."""
    return list(dict.fromkeys(v for parameter in function.params for v in symbolic_variables(parameter.ty)))


def symbolic_variables(node: object) -> list[tirx.Var]:
    """The symbolic variables in an expression or a type, each once."""
    found: dict[tirx.Var, None] = {}

    def note(variable: Var) -> None:
        if isinstance(variable.ty, tvm.ir.PrimType):
            found[variable] = None

    tvm_ffi.structural_walk(node, (Var, note))
    return list(found)


def escaping_variables(value: relax.If) -> set[Var]:
    """Outer variables that the result of ``value`` may alias."""
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


def _parse_binding(program: Program, mod: tvm.IRModule, binding: relax.Binding, plain: dict[Var, relax.Expr]) -> None:
    value = resolve(binding.value, plain)
    if isinstance(binding, relax.MatchCast):
        program.operations.append(Operation("match", "match_cast", binding.var, value, matched=binding.ty))
    elif isinstance(value, relax.Call):
        if _op_name(value) == ALLOC_TENSOR:
            program.buffers[binding.var] = value
        else:
            program.operations.append(_operation(mod, binding.var, value))
    elif isinstance(value, relax.If):
        chosen = _resolve_branches(value, plain)
        branches = _parse_branches(program, mod, chosen)
        program.operations.append(Operation("other", "if", binding.var, chosen, branches=branches))
    elif isinstance(value, relax.Function | relax.SeqExpr):
        raise UnsupportedFunctionError("it defines an inner function")
    else:
        plain[binding.var] = value


def _parse_branches(program: Program, mod: tvm.IRModule, value: relax.If) -> tuple[Program, Program] | None:
    name = f"{program.name}.if{len(program.operations)}"
    try:
        return (
            _parse_branch(program, f"{name}.then", mod, value.true_branch),
            _parse_branch(program, f"{name}.else", mod, value.false_branch),
        )
    except UnsupportedFunctionError:
        return None


def _parse_branch(outer: Program, name: str, mod: tvm.IRModule, sequence: relax.Expr) -> Program:
    if not isinstance(sequence, relax.SeqExpr):
        raise UnsupportedFunctionError("a branch is not a sequence of bindings")
    used = [v for v in relax.analysis.free_vars(sequence) if not isinstance(v.ty, tvm.ir.PrimType)]
    branch = Program(name, outer.function, outer.bounds, tuple(used), len(used))
    _parse_sequence(branch, mod, sequence)
    return branch


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
    if name in READING_CALLS:
        return Operation("reading", name.removeprefix("relax.").removeprefix("run."), result, call)
    return Operation("other", name or str(callee), result, call)


def _op_name(call: relax.Call) -> str:
    if isinstance(call.op, tvm.ir.Op):
        return str(call.op.name)
    if isinstance(call.op, relax.ExternFunc):
        return str(call.op.global_symbol)
    return getattr(call.op, "name_hint", "") or type(call.op).__name__


def resolve(expr: relax.Expr, known: Mapping[Var, relax.Expr]) -> relax.Expr:
    """Replace the variables of ``known`` in ``expr``, and resolve fields of known tuples."""
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
    """Replace variables in ``expr``, including inside the branches of an If."""
    return _resolve_branches(expr, new) if isinstance(expr, relax.If) else resolve(expr, new)


def leaves(expr: relax.Expr) -> list[relax.Expr]:
    """The variables and constants in ``expr``, with tuples flattened."""
    if isinstance(expr, relax.Tuple):
        return [leaf for field in expr.fields for leaf in leaves(field)]
    if isinstance(expr, relax.TupleGetItem):
        return leaves(expr.tuple_value)
    return [expr]

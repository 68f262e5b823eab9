"""From a scheduled module to a flat program: the plain twin of native/walk.h, written for reading, not for speed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.twins.features.linear_form import (
    Form,
    add,
    either,
    floor_divide,
    floor_modulo,
    loop_form,
    multiply,
    upper_bound,
)
from tests.twins.features.program import Access, Buffer, Loop, Program, Statement
from tvm_memopt.cost_model.features.columns import ARITHMETIC

if TYPE_CHECKING:
    import tvm

UNROLL_PRAGMA = "pragma_auto_unroll_max_step"
_REDUCTION = 2
_SELECTIONS = ("prim.if_then_else", "tirx.if_then_else")
_LIKELY = ("prim.likely", "tirx.likely")
_SLOT = {name: i for i, name in enumerate(ARITHMETIC)}
_BINARY = {"prim.Add": "add", "prim.Sub": "add", "prim.Mul": "mul"}
_BINARY |= dict.fromkeys(("prim.Div", "prim.Mod", "prim.FloorDiv", "prim.FloorMod"), "div")
_BINARY |= dict.fromkeys((["Min", "Max", "EQ", "NE", "LT", "LE", "GT", "GE"]), "compare")
_BINARY = {(k if "." in k else f"prim.{k}"): v for k, v in _BINARY.items()}
_FORMS: dict[str, Callable[[Form, Form], Form]] = {
    "prim.Add": add,
    "prim.Sub": lambda a, b: add(a, b, -1),
    "prim.Mul": multiply,
    "prim.Div": floor_divide,
    "prim.FloorDiv": floor_divide,
    "prim.Mod": floor_modulo,
    "prim.FloorMod": floor_modulo,
    "prim.Min": either,
    "prim.Max": either,
}


def walk(mod: tvm.IRModule) -> Program:
    """All functions of a module, in its order, as one program."""
    program = Program()
    for function in mod.functions.values():
        if hasattr(function, "params") and hasattr(function, "body"):
            _Walk(program).function(function)
    return program


@dataclass(frozen=True)
class _Context:
    """What surrounds a statement."""

    chain: tuple[int, ...] = ()
    reduces: frozenset[int] = frozenset()
    is_init: bool = False
    predicated: bool = False
    spatial_points: float = 1.0
    reduction_points: float = 1.0
    auto_unroll: int = 0


@dataclass
class _Walk:
    """``variables``: forms of the variables in scope; ``slots``: buffers by variable;
    ``aliases``: a view's source and the form at which each of its dimensions starts."""

    program: Program
    variables: dict[int, Form] = field(default_factory=dict)
    slots: dict[int, int] = field(default_factory=dict)
    aliases: dict[int, tuple[int, list[Form]]] = field(default_factory=dict)

    def function(self, function: Any) -> None:
        for parameter in function.params:
            if _key(parameter.ty) == "tirx.BufferType":
                self.declare(parameter, is_parameter=True)
        self.visit(function.body, _Context())

    def declare(self, variable: Any, is_parameter: bool = False) -> int:
        found = self.slots.get(_identity(variable))
        if found is not None:
            return found
        ty = variable.ty
        code, bits, lanes = ty.dtype.dtype.type_code, ty.dtype.dtype.bits, ty.dtype.dtype.lanes
        shape = [max(1, self.constant(extent)) for extent in ty.shape]
        buffer = Buffer(shape, max(1, bits * lanes // 8), _is_float(code), str(ty.storage_scope), is_parameter)
        self.program.buffers.append(buffer)
        self.slots[_identity(variable)] = len(self.program.buffers) - 1
        return len(self.program.buffers) - 1

    def constant(self, expression: Any) -> int:
        return upper_bound(self.form(expression))

    # Statements

    def visit(self, node: Any, context: _Context) -> None:
        kind = _key(node)
        if kind == "tirx.SeqStmt":
            for child in node.seq:
                self.visit(child, context)
        elif kind == "tirx.For":
            self.loop(node, context)
        elif kind == "s_tir.SBlockRealize":
            self.realize(node, context)
        elif kind == "tirx.BufferStore":
            self.store(node, context)
        elif kind == "tirx.IfThenElse":
            inside = replace(context, predicated=True)
            self.visit(node.then_case, inside)
            if node.else_case is not None:
                self.visit(node.else_case, inside)
        elif kind in ("tirx.AttrStmt", "tirx.While"):
            self.visit(node.body, context)
        elif kind == "tirx.Bind":
            self.variables[_identity(node.var)] = self.form(node.value)
        elif kind == "tirx.AllocBuffer":
            self.declare(node.buffer)

    def loop(self, node: Any, context: _Context) -> None:
        number = len(self.program.loops)
        minimum, extent = self.form(node.min).constant, max(1, self.constant(node.extent))
        unroll = _unroll_step(node.annotations, context.auto_unroll)
        chain = (*context.chain, number)
        self.program.loops.append(Loop(extent, min(int(node.kind), 4), unroll, chain))
        self.variables[_identity(node.loop_var)] = loop_form(number, minimum, extent)
        self.visit(node.body, replace(context, chain=chain, auto_unroll=unroll))

    def realize(self, node: Any, context: _Context) -> None:
        block, reduces, points = node.block, set[int](), [1.0, 1.0]
        for iterator, value in zip(block.iter_vars, node.iter_values, strict=True):
            form = self.form(value)
            self.variables[_identity(iterator.var)] = form
            is_reduction = int(iterator.iter_type) == _REDUCTION
            points[is_reduction] *= max(1, self.constant(iterator.dom.extent))
            if is_reduction:
                reduces.update(term.loop for term in form.terms)
        for variable in block.alloc_buffers:
            self.declare(variable)
        for match in block.match_buffers:
            starts = [self.form(extent.min) for extent in match.source.region]
            self.aliases[_identity(match.buffer)] = (self.declare(match.source.source), starts)
        inside = replace(
            context,
            predicated=context.predicated or _key(node.predicate) != "ir.IntImm",
            auto_unroll=_unroll_step(block.annotations, context.auto_unroll),
        )
        if len(block.iter_vars) > 0:
            inside = replace(inside, reduces=frozenset(reduces), spatial_points=points[0], reduction_points=points[1])
        if block.init is not None:
            self.visit(block.init, replace(inside, is_init=True, reduction_points=1.0))
        self.visit(block.body, inside)

    def store(self, node: Any, context: _Context) -> None:
        statement = Statement(**vars(context))
        target, forms = self.place(node.buffer, node.indices)
        buffer = self.program.buffers[target]
        statement.item_nbytes, statement.is_float = buffer.item_nbytes, buffer.is_float
        self.count(node.value, statement)
        _note(statement, target, True, forms)
        self.program.statements.append(statement)

    def place(self, variable: Any, indices: Any) -> tuple[int, list[Form]]:
        """The buffer and the index of each of its dimensions, seen through views."""
        forms = [self.form(index) for index in indices]
        alias = self.aliases.get(_identity(variable))
        if alias is None:
            return self.declare(variable), forms
        source, starts = alias
        outer = len(starts) - len(forms)
        return source, [*starts[: max(outer, 0)], *(add(s, f) for s, f in zip(starts[outer:], forms, strict=False))]

    # Expressions

    def form(self, node: Any) -> Form:  # noqa: PLR0911  # one case a kind of expression
        kind = _key(node)
        if kind == "ir.IntImm":
            return Form(int(node.value))
        if kind == "ir.Var":
            return self.variables.get(_identity(node), Form(0, (), True))
        if kind in _FORMS:
            return _FORMS[kind](self.form(node.a), self.form(node.b))
        if kind == "prim.Cast":
            return self.form(node.value)
        if kind == "prim.Select":
            return either(self.form(node.true_value), self.form(node.false_value))
        if kind == "prim.Ramp":
            return self.form(node.base)
        if kind == "ir.Call" and _operator(node) in _SELECTIONS:
            return either(self.form(node.args[1]), self.form(node.args[2]))
        return Form(0, (), True)

    def count(self, node: Any, statement: Statement) -> None:  # one case a kind of expression
        kind, counts = _key(node), statement.arithmetic
        if kind in _BINARY:
            counts[_SLOT[("float_" if _has_float(node.a) else "int_") + _BINARY[kind]]] += 1
            self.count(node.a, statement)
            self.count(node.b, statement)
        elif kind == "ir.TensorLoad":
            counts[_SLOT["load"]] += 1
            _note(statement, *self._load(node))
        elif kind in ("prim.And", "prim.Or"):
            counts[_SLOT["logic"]] += 1
            self.count(node.a, statement)
            self.count(node.b, statement)
        elif kind == "prim.Not":
            counts[_SLOT["logic"]] += 1
            self.count(node.a, statement)
        elif kind == "prim.Cast":
            counts[_SLOT["cast"]] += 1
            self.count(node.value, statement)
        elif kind == "prim.Select":
            counts[_SLOT["select"]] += 1
            for child in (node.condition, node.true_value, node.false_value):
                self.count(child, statement)
        elif kind == "prim.Let":
            self.variables[_identity(node.var)] = self.form(node.value)
            self.count(node.value, statement)
            self.count(node.body, statement)
        elif kind == "prim.Broadcast":
            self.count(node.value, statement)
        elif kind == "prim.Ramp":
            self.count(node.base, statement)
        elif kind == "ir.Call":
            self._count_call(node, statement)

    def _load(self, node: Any) -> tuple[int, bool, list[Form]]:
        target, forms = self.place(node.source, node.indices)
        return target, False, forms

    def _count_call(self, node: Any, statement: Statement) -> None:
        name = _operator(node)
        if name in _SELECTIONS:
            statement.arithmetic[_SLOT["select"]] += 1
        elif name not in _LIKELY:
            statement.arithmetic[_SLOT["float_math" if _has_float(node) else "int_add"]] += 1
        for argument in node.args:
            self.count(argument, statement)


def _note(statement: Statement, buffer: int, is_write: bool, forms: list[Form]) -> None:
    constants, irregular = [form.constant for form in forms], any(form.irregular for form in forms)
    for access in statement.accesses:
        if access.buffer == buffer and access.is_write == is_write and len(access.forms) == len(forms):
            access.number += 1
            access.irregular |= irregular
            access.low = [min(a, b) for a, b in zip(access.low, constants, strict=True)]
            access.high = [max(a, b) for a, b in zip(access.high, constants, strict=True)]
            return
    statement.accesses.append(Access(buffer, is_write, forms, constants, list(constants), irregular=irregular))


def _unroll_step(annotations: Any, outer: int) -> int:
    return int(annotations[UNROLL_PRAGMA]) if UNROLL_PRAGMA in annotations else outer


def _key(node: Any) -> str:
    info = getattr(type(node), "__tvm_ffi_type_info__", None)
    return info.type_key if info is not None else ""


def _identity(variable: Any) -> int:
    return int(variable.__chandle__())


def _operator(call: Any) -> str:
    return str(call.op.name) if _key(call.op) == "ir.Op" else ""


def _has_float(node: Any) -> bool:
    return _key(node.ty) == "ir.PrimType" and _is_float(node.ty.dtype.type_code)


def _is_float(code: int) -> bool:
    """Whether a DLPack type code is one of a floating-point type."""
    return code in (2, 4) or code >= 7

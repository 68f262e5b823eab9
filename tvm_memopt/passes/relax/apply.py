"""Plan → IR: calls in the plan's order, one arena, and each tensor a view of it at its offset."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import tvm
import tvm_ffi
from tvm import relax, tirx
from tvm.ir import Var

from tvm_memopt.graph import Allocation, Plan
from tvm_memopt.passes.relax.arena_inputs import copy_kernel
from tvm_memopt.passes.relax.branch_results import made_results
from tvm_memopt.passes.relax.extract import Extraction
from tvm_memopt.passes.relax.inplace import Pairs
from tvm_memopt.passes.relax.program import (
    ALLOC_TENSOR,
    Operation,
    replace_variables,
    resolve,
    symbolic_parameters,
    symbolic_variables,
)
from tvm_memopt.passes.relax.sizes import dtype_nbytes
from tvm_memopt.passes.relax.unfold import Unfolded
from tvm_memopt.passes.tir.overlap import overlap_input
from tvm_memopt.passes.tir.sharing import overwrite_input
from tvm_memopt.passes.tir.statements import dtype_of
from tvm_memopt.passes.tir.workspace import Kernel

if TYPE_CHECKING:
    from tvm_memopt.passes.relax.plan_function import FunctionPlan

ARENA_PARAMETER = "memopt_arena"
KernelOf = Mapping[tuple[str, int, Pairs], tvm.ir.GlobalVar]


@dataclass
class _Emitter:
    """State of the emission of one function.

    ``current`` maps the program's variables to their current expressions. ``views`` records which view was made of
    which instance. In a branch of an If, ``base`` is the arena offset of the branch's plan, and ``placed`` holds the
    arena offsets of returned buffers.
    """

    builder: relax.BlockBuilder
    extraction: Extraction
    plan: Plan | None
    kernel_of: KernelOf
    kernels: Mapping[str, Kernel]
    unfolded: Mapping[str, Unfolded]
    arena: relax.Expr | None
    caller_owned: bool
    base: int = 0
    placed: Mapping[Var, int] = field(default_factory=dict)
    inplace: Sequence[Pairs] = ()
    in_branch: bool = False
    allocation_at: dict[tuple[int | None, int], Allocation] = field(default_factory=dict)
    current: dict[Var, relax.Expr] = field(default_factory=dict)
    views: dict[Var, tuple[relax.Expr, relax.Expr]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        allocations = self.plan.allocations if self.plan is not None else ()
        self.allocation_at = {(a.tensor, a.first): a for a in allocations}

    @property
    def followed(self) -> Plan:
        """The plan to follow."""
        assert self.plan is not None
        return self.plan


def inplace_form(kernel: Kernel, pairs: Pairs) -> tirx.PrimFunc:
    """The PrimFunc of ``kernel`` for calls in which each pair of parameters overlaps."""
    if not pairs and kernel.original is not None:
        return kernel.original
    func = kernel.func
    for source, target, *shift in pairs:
        func = overlap_input(func, source, target, shift[0]) if shift else overwrite_input(func, source, target)
    return func


def emit_function(
    builder: relax.BlockBuilder, planned: FunctionPlan, kernel_of: KernelOf, *, caller_owned: bool = False
) -> relax.Function:
    """Rewrite the function of ``planned`` to follow its plan.

    ``kernel_of``: the callee by (kernel name, id of its form, pairs of parameters that share memory). With
    ``caller_owned``, the arena is a new last parameter, a uint8 tensor of ``plan.arena_nbytes`` bytes.
    """
    extraction, plan = planned.extraction, planned.plan
    function = extraction.program.function
    arena = relax.Var(ARENA_PARAMETER, relax.TensorType([plan.arena_nbytes], "uint8")) if caller_owned else None
    params = [*function.params, *([arena] if arena is not None else [])]
    attrs = dict(function.attrs.items()) if function.attrs is not None else {}
    with builder.function(extraction.program.name, params, attrs=attrs, private=False):
        emitter = _Emitter(
            builder,
            extraction,
            plan,
            kernel_of,
            planned.kernels,
            planned.unfolded,
            arena,
            caller_owned,
            inplace=planned.inplace,
        )
        _emit_bound_checks(emitter, symbolic_parameters(function))
        if not caller_owned and plan.arena_nbytes:
            emitter.arena = builder.emit(_storage(plan.arena_nbytes), "arena")
        _emit_inputs(emitter)
        for step in range(len(plan.schedule)):
            _emit_step(emitter, step)
        result = extraction.program.result
        builder.emit_func_output(_substitute(emitter, result))
    return builder.get()[extraction.program.name]


def emit_reordered(builder: relax.BlockBuilder, extraction: Extraction, schedule: Sequence[int]) -> relax.Function:
    """Emit the function of ``extraction`` with its calls in the order of ``schedule``."""
    function = extraction.program.function
    attrs = dict(function.attrs.items()) if function.attrs is not None else {}
    with builder.function(extraction.program.name, list(function.params), attrs=attrs, private=False):
        emitter = _Emitter(builder, extraction, None, {}, {}, {}, None, caller_owned=False)
        for op_id in schedule:
            operation = extraction.operations[op_id]
            if operation.kind == "view":
                continue
            for tensor in extraction.graph.ops[op_id].outputs:
                variable = extraction.variable_of.get(tensor)
                if variable is not None and variable in extraction.program.buffers:
                    emitter.current[variable] = builder.emit(extraction.program.buffers[variable], variable.name)
            if operation.kind == "match":
                _emit_match(emitter, operation)
                continue
            value = replace_variables(operation.value, _needed(emitter, operation.value))
            emitter.current[operation.result] = builder.emit(value, operation.result.name)
        builder.emit_func_output(_substitute(emitter, extraction.program.result))
    return builder.get()[extraction.program.name]


def _emit_match(emitter: _Emitter, operation: Operation) -> None:
    value = _substitute(emitter, operation.value)
    emitter.current[operation.result] = emitter.builder.match_cast(value, operation.matched, operation.result.name)


def _emit_bound_checks(emitter: _Emitter, variables: Iterable[tirx.Var]) -> None:
    """Check symbolic dimensions against their bounds: tensors above them would silently overlap their neighbours."""
    bounds = emitter.extraction.program.bounds
    for variable in variables:
        if variable in bounds:
            bound = bounds[variable]
            message = f"dimension {variable.name} is above {bound}, the upper bound that memory was planned for"
            arguments = [relax.prim_value(variable <= bound), tvm.ir.StringImm(message)]
            check = relax.Call(relax.ExternFunc("relax.run.assert_op"), arguments, ty_args=[relax.TupleType([])])
            emitter.builder.emit(check, "_")


def _storage(nbytes: int | tvm.ir.Expr) -> relax.Call:
    return relax.op.memory.alloc_storage(relax.ShapeExpr([nbytes]), 0, "global", "uint8")


def _emit_inputs(emitter: _Emitter) -> None:
    """Copy the inputs that lie in the arena to their offsets. An input that is already there is copied onto itself."""
    for parameter in emitter.extraction.program.parameters:
        allocation = emitter.allocation_at.get((emitter.extraction.tensor_of[parameter], 0))
        if allocation is not None:
            shape, dtype = parameter.ty.shape, str(parameter.ty.dtype)
            placed = _emit_view(emitter, emitter.base + allocation.offset, shape, dtype, parameter.name)
            copy = emitter.builder.add_func(copy_kernel(parameter), "copy_input_to_arena")
            emitter.builder.emit(relax.Call(copy, [parameter, placed], ty_args=[relax.TupleType([])]), "_")
            emitter.current[parameter] = placed


def _emit_step(emitter: _Emitter, step: int) -> None:
    extraction, op_id = emitter.extraction, emitter.followed.schedule[step]
    operation = extraction.operations[op_id]
    if operation.kind == "view":
        return  # views are made where they are read, from the instance live there
    for tensor in extraction.graph.ops[op_id].outputs:
        variable = extraction.variable_of.get(tensor)
        if variable is not None and variable in extraction.program.buffers:
            emitter.current[variable] = _emit_buffer(emitter, variable, emitter.allocation_at.get((tensor, step)))
    if operation.kind == "kernel":
        _emit_kernel(emitter, step, operation)
    elif op_id in extraction.branches:
        _emit_if(emitter, step, operation)
    elif operation.kind == "match":
        _emit_match(emitter, operation)
        _emit_bound_checks(emitter, symbolic_variables(operation.matched))
    else:
        value = replace_variables(operation.value, _needed(emitter, operation.value))
        if isinstance(value, relax.If):
            value = _with_own_storages(value)
        emitter.current[operation.result] = emitter.builder.emit(value, operation.result.name)


def _emit_if(emitter: _Emitter, step: int, operation: Operation) -> None:
    """Emit an If whose branches follow their own plans, inside the workspace that the plan reserves for it."""
    plans = emitter.extraction.branches[emitter.followed.schedule[step]]
    outside = _needed(emitter, operation.value)  # makes views here, so that the branches share them
    block = emitter.allocation_at.get((None, step))
    base = emitter.base + (block.offset if block is not None else 0)
    offsets = _result_offsets(emitter, step, operation.result)
    branches = [_emit_branch(emitter, plan, outside, base, offsets) for plan in plans]
    value = relax.If(resolve(operation.value.cond, outside), *branches)
    emitter.current[operation.result] = emitter.builder.emit(value, operation.result.name)


def _result_offsets(emitter: _Emitter, step: int, result: Var) -> dict[int, int]:
    """Arena offset of each tensor in an If's result, by position. Tensors outside the arena are left out."""
    extraction = emitter.extraction
    tensors = {key[1]: tensor for key, tensor in extraction.fields.items() if key[0].same_as(result)}
    if not isinstance(result.ty, relax.TupleType):
        if result in emitter.placed:
            return {0: emitter.placed[result]}
        tensors = {0: extraction.tensor_of[result]}
    found = {position: emitter.allocation_at.get((tensor, step)) for position, tensor in tensors.items()}
    return {position: emitter.base + a.offset for position, a in found.items() if a is not None}


def _emit_branch(
    emitter: _Emitter,
    planned: FunctionPlan,
    outside: Mapping[Var, relax.Expr],
    base: int,
    offsets: Mapping[int, int],
) -> relax.SeqExpr:
    extraction, builder = planned.extraction, emitter.builder
    made = made_results(extraction)
    inner = _Emitter(
        builder,
        extraction,
        planned.plan,
        emitter.kernel_of,
        planned.kernels,
        planned.unfolded,
        emitter.arena,
        emitter.caller_owned,
        base,
        {variable: offsets[i] for i, variable in enumerate(made) if variable is not None and i in offsets},
        inplace=planned.inplace,
        in_branch=True,
        current=dict(outside),
    )
    builder._begin_binding_block()
    for step in range(len(planned.plan.schedule)):
        _emit_step(inner, step)
    result = builder.emit(_substitute(inner, extraction.program.result), "result")
    return relax.SeqExpr([builder._end_block()], result)


def _with_own_storages(value: relax.If) -> relax.Expr:
    """Give each tensor in the branches of ``value`` its own storage.

    Otherwise StaticPlanBlockMemory would reuse storage across the branches if a default pipeline ran over the
    planned module.
    """

    def on_call(call: relax.Call) -> relax.Call:
        if not isinstance(call.op, tvm.ir.Op) or call.op.name != ALLOC_TENSOR:
            return call
        shape, dtype = call.args[0], str(call.args[1].value)
        return relax.op.memory.alloc_tensor(_storage(_nbytes_of(shape, dtype)), 0, shape, dtype)

    return tvm_ffi.structural_map(value, (tvm.ir.Call, on_call))


def _nbytes_of(shape: relax.ShapeExpr, dtype: str) -> tvm.ir.Expr:
    return functools.reduce(operator.mul, shape.values, tirx.IntImm("int64", dtype_nbytes(dtype)))


def _emit_kernel(emitter: _Emitter, step: int, operation: Operation) -> None:
    pairs = emitter.inplace[step]
    kernel = emitter.kernels[operation.callee or ""]
    callee = emitter.kernel_of[(operation.callee or "", id(kernel), pairs)]
    call = _substitute(emitter, operation.value)
    scratch = _emit_workspace(emitter, kernel, operation.callee or "", step)
    position = kernel.workspace_position
    if isinstance(operation.value.op, tvm.ir.GlobalVar):
        arguments = [*call.args[:position], *scratch, *call.args[position:]]
        emitter.builder.emit(relax.Call(callee, arguments, call.attrs, call.ty_args), "_")
    else:
        fields = call.args[1].fields  # tensors, then the shape that holds the scalar arguments
        packed = relax.Tuple([*fields[:position], *scratch, *fields[position:]])
        emitter.builder.emit(relax.Call(call.op, [callee, packed, *call.args[2:]], call.attrs, call.ty_args), "_")


def _emit_workspace(emitter: _Emitter, kernel: Kernel, name: str, step: int) -> list[relax.Expr]:
    offsets: Sequence[int]
    if name in emitter.unfolded:
        offsets = [emitter.base + offset for offset in emitter.unfolded[name].offsets[step]]
    elif kernel.workspace:
        block = emitter.allocation_at[(None, step)]
        offsets = [emitter.base + block.offset + start for start in kernel.offsets]
    else:
        return []
    return [
        _emit_view(emitter, offset, relax.ShapeExpr(list(buffer.shape)), dtype_of(buffer), "workspace")
        for offset, buffer in zip(offsets, kernel.workspace, strict=True)
    ]


def _emit_buffer(emitter: _Emitter, variable: Var, allocation: Allocation | None) -> relax.Expr:
    call = emitter.extraction.program.buffers[variable]
    shape, dtype = call.args[0], str(call.args[1].value)
    if allocation is not None:
        return _emit_view(emitter, emitter.base + allocation.offset, shape, dtype, variable.name)
    if variable in emitter.placed:
        return _emit_view(emitter, emitter.placed[variable], shape, dtype, variable.name)
    tensor = emitter.extraction.tensor_of[variable]
    nbytes: int | tvm.ir.Expr = emitter.extraction.graph.tensors[tensor].nbytes
    if emitter.in_branch:  # otherwise TVM's planner would reuse it across the branches
        nbytes = _nbytes_of(shape, dtype)
    elif not nbytes or not all(isinstance(d, tirx.IntImm) for d in shape.values):
        return emitter.builder.emit(call, variable.name)
    storage = emitter.builder.emit(_storage(nbytes), f"{variable.name}_storage")
    return emitter.builder.emit(relax.op.memory.alloc_tensor(storage, 0, shape, dtype), variable.name)


def _emit_view(emitter: _Emitter, offset: int, shape: relax.Expr, dtype: str, name: str) -> relax.Expr:
    memory, builder = relax.op.memory, emitter.builder
    if emitter.arena is None:  # the arena holds only empty tensors
        return builder.emit(relax.op.builtin.alloc_tensor(shape, dtype, 0, "global"), name)
    if emitter.caller_owned:
        view = memory.view(emitter.arena, shape, dtype, offset)
        return builder.emit(memory.ensure_zero_offset(builder.emit(view, f"{name}_view")), name)
    tensor = builder.emit(memory.alloc_tensor(emitter.arena, offset, shape, dtype), name)
    # A kernel accepts only tensors with byte offset 0, so this moves the data pointer.
    return builder.emit(memory.ensure_zero_offset(tensor), name) if offset else tensor


def _substitute(emitter: _Emitter, expr: relax.Expr) -> relax.Expr:
    return resolve(expr, _needed(emitter, expr))


def _needed(emitter: _Emitter, expr: relax.Expr) -> dict[Var, relax.Expr]:
    """Current expressions of the variables in ``expr``. Makes views, of the newest instance."""
    return {v: _value_of(emitter, v) for v in relax.analysis.free_vars(expr)}


def _value_of(emitter: _Emitter, variable: Var) -> relax.Expr:
    operation = emitter.extraction.view_operations.get(variable)
    if operation is None:
        return emitter.current.get(variable, variable)
    base = operation.value.args[0]
    source = _substitute(emitter, base)
    made = emitter.views.get(variable)
    if made is not None and made[0].same_as(source):
        return made[1]
    view = emitter.builder.emit(_view_call(operation, source), variable.name)
    emitter.views[variable] = (source, view)
    return view


def _view_call(operation: Operation, source: relax.Expr) -> relax.Call:
    call = operation.value
    if operation.name == "reshape":  # a default pipeline would legalise it into a copy
        return relax.op.memory.view(source, call.args[1], str(operation.result.ty.dtype), 0)
    return relax.Call(call.op, [source, *call.args[1:]], call.attrs, call.ty_args)

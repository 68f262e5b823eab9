"""A planned Relay function: a chain of lets in the order of the plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tvm
from tvm import relay

from tvm_memopt.passes.relay.program import RelayProgram, identity, is_annotation


def let_chain(program: RelayProgram, schedule: Sequence[int]) -> Any:
    """The function with its calls bound to variables in the order of ``schedule``, which may repeat calls.

    TVM's executors keep the order of lets. A repeated call gets a Function object of its own: the ahead-of-time
    executor binds a shared one to a variable and fails.
    """
    bound: dict[int, Any] = {}
    bindings: list[tuple[Any, Any]] = []
    for op_id in schedule:
        call = program.calls[op_id].call
        callee = _copied(call.op) if identity(call) in bound and isinstance(call.op, relay.Function) else call.op
        variable = relay.Var(f"t{len(bindings)}", call.checked_type)
        arguments = [_with_variables(argument, bound, program) for argument in call.args]
        bindings.append((variable, relay.Call(callee, arguments, call.attrs, call.type_args)))
        bound[identity(call)] = variable
    function = program.function
    body = _with_variables(function.body, bound, program)
    for variable, value in reversed(bindings):
        body = relay.Let(variable, value, body)
    return relay.Function(function.params, body, function.ret_type, function.type_params, function.attrs)


def _with_variables(expression: Any, bound: dict[int, Any], program: RelayProgram) -> Any:
    while isinstance(expression, relay.Let) or identity(expression) in program.definitions:
        inner = isinstance(expression, relay.Let)
        expression = expression.body if inner else program.definitions[identity(expression)]
    if identity(expression) in bound:
        return bound[identity(expression)]
    if is_annotation(expression):
        return relay.Call(
            expression.op, [_with_variables(expression.args[0], bound, program)], expression.attrs, expression.type_args
        )
    if isinstance(expression, relay.Tuple):
        return relay.Tuple([_with_variables(part, bound, program) for part in expression.fields])
    if isinstance(expression, relay.TupleGetItem):
        return relay.TupleGetItem(_with_variables(expression.tuple_value, bound, program), expression.index)
    return expression


def _copied(function: Any) -> Any:
    parameters = [relay.Var(p.name_hint, p.checked_type) for p in function.params]
    body = relay.bind(function.body, dict(zip(function.params, parameters, strict=True)))
    return relay.Function(parameters, body, function.ret_type, function.type_params, function.attrs)


def replace_function(mod: Any, name: str, function: Any, target: Any) -> None:
    """Put ``function`` into ``mod`` in place, with types and devices. Call within a context without instruments."""
    variable = mod.get_global_var(name)
    functions = {v: f for v, f in mod.functions.items() if v.name_hint != name}
    changed = tvm.IRModule({**functions, variable: function}, mod.type_definitions, attrs=mod.attrs)
    config = tvm.target.make_compilation_config(tvm.transform.PassContext.current(), target)
    devices = relay.transform._ffi_api.PlanDevices(config)  # its Python wrapper raises NameError in TVM 0.16
    for transform in (relay.transform.InferType(), devices, relay.transform.InferType()):
        changed = transform(changed)
    mod.update_func(variable, changed[name])

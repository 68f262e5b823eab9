"""Copies of results that a function returns more than once, for the ahead-of-time executor.

That executor of TVM 0.16 writes a tensor to one output only and leaves the others as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tvm
from tvm import relay

from tvm_memopt.passes.relay.emit import replace_function
from tvm_memopt.passes.relay.program import RelayProgram, leaf_types, parse_function


def copy_repeated_results(mod: Any, name: str, target: Any) -> bool:
    """Change the function of that name in ``mod`` so that no result is repeated. Returns whether it has changed.

    Call within a context without instruments. Raises UnsupportedFunctionError as parse_function does.
    """
    changed = with_distinct_results(mod[name])
    if changed.same_as(mod[name]):
        return False
    replace_function(mod, name, changed, target)
    return True


def with_distinct_results(function: Any) -> Any:
    """``function`` with a kernel that copies each repeated result, or ``function`` itself if no result is repeated.

    A result that only reshapes another counts as repeated. The new nodes have no types. Raises UnsupportedFunctionError
    as parse_function does.
    """
    repeated = _repeated(parse_function(function))
    if not any(repeated):
        return function
    lets, body = [], function.body
    while isinstance(body, relay.Let):
        lets.append((body.var, body.value))
        body = body.body
    body = _copied(body, body.checked_type, iter(repeated))
    for variable, value in reversed(lets):
        body = relay.Let(variable, value, body)
    return relay.Function(function.params, body, function.ret_type, function.type_params, function.attrs)


def _repeated(program: RelayProgram) -> list[bool]:
    """For each flattened result, whether an earlier one has the same memory."""
    views = {call.outputs[0].key: call.inputs[0].key for call in program.calls if call.view}
    seen: set[tuple[int, int]] = set()
    repeated = []
    for value in program.results:
        key = value.key
        while key in views:
            key = views[key]
        repeated.append(key in seen)
        seen.add(key)
    return repeated


def _copied(result: Any, a_type: Any, repeated: Iterator[bool]) -> Any:
    """``result`` with its repeated leaves copied. ``repeated`` has one entry for each leaf and is used up."""
    if isinstance(a_type, relay.TensorType):
        return relay.Call(_copy_kernel(a_type), [result]) if next(repeated) else result
    if isinstance(result, relay.Tuple):
        return relay.Tuple([_copied(f, t, repeated) for f, t in zip(result.fields, a_type.fields, strict=True)])
    own = [next(repeated) for _ in leaf_types(a_type)]
    if not any(own):
        return result
    fields = [relay.TupleGetItem(result, index) for index in range(len(a_type.fields))]
    flags = iter(own)
    return relay.Tuple([_copied(f, t, flags) for f, t in zip(fields, a_type.fields, strict=True)])


def _copy_kernel(tensor_type: Any) -> Any:
    parameter = relay.Var("p0", tensor_type)
    function = relay.Function([parameter], relay.copy(parameter), tensor_type)
    return function.with_attr("Primitive", tvm.tir.IntImm("int32", 1))

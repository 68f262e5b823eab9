"""Parallel loops of scheduled kernels, fitted to the number of threads of the target."""

from __future__ import annotations

import tvm
import tvm_ffi
from tvm import tirx


def thread_count(target: tvm.target.Target) -> int:
    """Threads that a kernel may use: the target's ``num-cores``, else one."""
    return int(target.attrs.get("num-cores") or 1)


def fit_threads(mod: tvm.IRModule, target: tvm.target.Target) -> tvm.IRModule:
    """Make parallel loops serial if the target has one core.

    A parallel loop there only costs its launch. Scratch inside it would be a buffer of TVM's runtime for each thread;
    in a serial loop it is planned like any other. For targets with more cores, nothing changes.
    """
    if thread_count(target) != 1:
        return mod
    changed = {}
    for variable, function in mod.functions_items():
        if isinstance(function, tirx.PrimFunc) and _has_parallel_loop(function):
            body = tvm_ffi.structural_map(function.body, (tirx.For, _serial))
            changed[variable] = tirx.PrimFunc(list(function.params), body, function.ret_type, function.attrs)
    return mod if not changed else _updated(mod, changed)


def with_fitted_threads(before: tvm.IRModule, scheduled: tvm.IRModule, target: tvm.target.Target) -> tvm.IRModule:
    """Like fit_threads, for those kernels of ``scheduled`` that differ from the module ``before`` the schedules."""
    changed = {v: f for v, f in scheduled.functions_items() if not f.same_as(before[v.name_hint])}
    fitted = fit_threads(tvm.IRModule({v: f for v, f in changed.items() if isinstance(f, tirx.PrimFunc)}), target)
    return _updated(scheduled, {v: fitted[v.name_hint] for v, f in changed.items() if isinstance(f, tirx.PrimFunc)})


def _updated(mod: tvm.IRModule, changed: dict[tvm.ir.GlobalVar, tirx.PrimFunc]) -> tvm.IRModule:
    result = tvm.IRModule(dict(mod.functions_items()), attrs=mod.attrs)
    for variable, function in changed.items():
        result.update_func(variable, function)
    return result


def _serial(loop: tirx.For) -> tirx.For:
    if loop.kind != tirx.ForKind.PARALLEL:
        return loop
    return tirx.For(loop.loop_var, loop.min, loop.extent, tirx.ForKind.SERIAL, loop.body, annotations=loop.annotations)


def _has_parallel_loop(function: tirx.PrimFunc) -> bool:
    found: list[bool] = []
    tvm_ffi.structural_walk(function.body, [(tirx.For, lambda loop: found.append(loop.kind == tirx.ForKind.PARALLEL))])
    return any(found)

"""Kernels that misbehave, as shared libraries and as modules of MetaSchedule."""

from __future__ import annotations

import tvm
from tvm import te


def plus_one(constant: float = 1.0) -> tvm.IRModule:
    a = te.placeholder((8,), name="a")
    return _module(te.create_prim_func([a, te.compute((8,), lambda i: a[i] + constant, name="b")]))


def crash() -> tvm.IRModule:
    """Reads memory that nobody has, whatever its argument."""
    a = te.placeholder((8,), name="a")
    far = te.compute((8,), lambda i: a[tvm.tirx.Cast("int64", a[i] * 0 + 1) * (1 << 40) + i], name="b")
    return _module(te.create_prim_func([a, far]))


def never_ends() -> tvm.IRModule:
    """Would take hours."""
    a = te.placeholder((8,), name="a")
    i, j = te.reduce_axis((0, 1 << 20), name="i"), te.reduce_axis((0, 1 << 20), name="j")
    total = te.compute((8,), lambda n: te.sum(te.exp(te.sin(a[n] + (i * j).astype("float32"))), axis=[i, j]), name="b")
    return _module(te.create_prim_func([a, total]))


def library(mod: tvm.IRModule, path) -> str:
    tvm.compile(mod, tvm.target.Target("llvm")).export_library(str(path))
    return str(path)


def _module(function) -> tvm.IRModule:
    return tvm.IRModule({"main": function.with_attr("global_symbol", "main")})

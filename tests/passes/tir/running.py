"""Kernels run on random arrays, as TVM builds them and in every form that the package makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import tvm
from tvm import tirx

from tvm_memopt.passes.relax.apply import inplace_form
from tvm_memopt.passes.tir.lower import lower_to_flat_buffers
from tvm_memopt.passes.tir.sharing import inplace_parameters, share_outputs
from tvm_memopt.passes.tir.statements import nbytes_of
from tvm_memopt.passes.tir.workspace import Kernel, kernel_forms

HOST = tvm.target.Target("llvm")


def flat(func: tirx.PrimFunc) -> tirx.PrimFunc:
    """``func`` lowered as far as the package lowers it."""
    return lower_to_flat_buffers(tvm.IRModule({"main": named(func)}))["main"]


def named(func: tirx.PrimFunc) -> tirx.PrimFunc:
    return func.with_attr("global_symbol", "main")


def random_array(buffer: tirx.Var, generator: np.random.Generator) -> np.ndarray:
    shape, dtype = [int(d) for d in buffer.shape], str(buffer.dtype)
    if dtype == "bool":
        return generator.integers(0, 2, shape).astype("bool")
    if "int" in dtype:
        return generator.integers(-100, 100, shape).astype(dtype)
    return generator.standard_normal(shape).astype(dtype)


def poison(buffer: tirx.Var) -> np.ndarray:
    """Bytes that no correct kernel reads before it has written them."""
    shape, dtype = [int(d) for d in buffer.shape], str(buffer.dtype)
    return np.full(shape, True if dtype == "bool" else np.nan if "float" in dtype else 77).astype(dtype)


def compiled(func: tirx.PrimFunc, target: tvm.target.Target = HOST):
    return tvm.compile(tvm.IRModule({"main": named(func)}), target).jit()["main"]


def outputs_of(func: tirx.PrimFunc) -> list[int]:
    """Positions of the parameters that the kernel writes."""
    return list(Kernel(flat(func), (), 0, 0).stored_parameters)


def call(func: tirx.PrimFunc, arrays: Sequence[np.ndarray], shared: Sequence[tuple[int, int]] = (), target=HOST):
    """All parameters after a call; ``shared`` pairs (input, output) are one memory."""
    tensors = [tvm.runtime.tensor(a) for a in arrays]
    for source, destination in shared:
        tensors[destination] = tensors[source]._create_view(arrays[destination].shape)
    compiled(func, target)(*tensors)
    return [t.numpy() for t in tensors]


Form = tuple[str, tirx.PrimFunc, tuple[tirx.Var, ...], tuple[tuple[int, int], ...]]


def forms(func: tirx.PrimFunc, target: tvm.target.Target = HOST) -> Iterator[Form]:
    """(name, PrimFunc, lifted scratch, pairs of parameters that are one memory): all that may be emitted."""
    lowered = flat(func)
    yield "lowered", lowered, (), ()
    yield "shared", share_outputs(lowered), (), ()
    found = kernel_forms({"main": func}, target)["main"]
    for name, kernel in found.named.items():
        yield name, inplace_form(kernel, ()), kernel.workspace, ()
        for pair in kernel.inplace:
            yield f"{name} in place {pair}", inplace_form(kernel, (pair,)), kernel.workspace, (pair,)


def differing_forms(func: tirx.PrimFunc, seed: int = 0, target: tvm.target.Target = HOST) -> list[str]:
    """Names of the forms whose outputs differ from the original's in any bit."""
    generator = np.random.default_rng(seed)
    written = outputs_of(func)
    arrays = [poison(p) if i in written else random_array(p, generator) for i, p in enumerate(func.params)]
    expected = call(func, arrays, target=target)
    wrong = []
    for name, form, scratch, shared in forms(func, target):
        found = call(form, [*arrays, *map(poison, scratch)], shared, target)
        if any(found[i].tobytes() != expected[i].tobytes() for i in written):
            wrong.append(name)
    return wrong


def scratch_buffers(func: tirx.PrimFunc) -> list[int]:
    """Bytes of the buffers that ``func`` allocates, once lowered."""
    import tvm_ffi

    found: list[int] = []
    tvm_ffi.structural_walk(func.body, (tirx.AllocBuffer, lambda node: found.append(nbytes_of(node.buffer) or 0)))
    return sorted(found)


def pairs(func: tirx.PrimFunc) -> list[tuple[int, int]]:
    """The in-place pairs that the package finds in ``func``."""
    return inplace_parameters(flat(func))


def fused_target() -> tvm.target.Target:
    """A target whose code multiplies and adds in one rounding; skips the test where this CPU cannot run it."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        flags = set()
    if not {"avx2", "fma"} <= flags:
        pytest.skip("this CPU has no fused multiply-add of x86")
    return tvm.target.Target({"kind": "llvm", "mcpu": "haswell"})


def machine_code(func: tirx.PrimFunc, target: tvm.target.Target = HOST) -> str:
    """The assembly that TVM makes of ``func``."""
    return str(tvm.compile(tvm.IRModule({"main": named(func)}), target).mod.inspect_source("asm"))

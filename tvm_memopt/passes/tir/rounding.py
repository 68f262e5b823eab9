"""Detect kernels whose rounding could depend on their form.

Targets with a fused multiply-add round once where the code generator sees a product and its addition together.
For buffers on the stack it can forward stored values, because their loops are short enough to be unrolled. Whether
a product stored there is then contracted with the addition that reads it depends on all the surrounding code. A
kernel with such a product keeps TVM's loops and parameters, and no other kernel gets a form that has one.
"""

from __future__ import annotations

import os

import tvm
import tvm_ffi
from tvm import tirx
from tvm.target import codegen

from tvm_memopt.passes.tir.statements import STACK_NBYTES, dtype_of, nbytes_of


def fuses_multiply_add(target: tvm.target.Target | None) -> bool:
    """Whether code for ``target`` may multiply and add with one rounding. True if unknown."""
    if target is None or target.kind.name != "llvm":
        return True
    triple = str(target.attrs.get("mtriple", None) or os.uname().machine)
    if not triple.startswith(("x86_64", "i386", "i486", "i586", "i686")):
        return True  # part of the base instruction set, as on AArch64
    return any(codegen.target_has_features(feature, target) for feature in ("fma", "fma4", "avx512f"))


def keeps_products_on_the_stack(func: tirx.PrimFunc) -> bool:
    """Whether the flat kernel ``func`` stores a floating-point product in scratch memory on the stack."""
    small: set[tvm.ir.Var] = set()
    found: list[tirx.BufferStore] = []

    def on_allocation(node: tirx.AllocBuffer) -> None:
        nbytes = nbytes_of(node.buffer)
        if nbytes is not None and nbytes <= STACK_NBYTES and "float" in dtype_of(node.buffer):
            small.add(node.buffer)

    def on_store(store: tirx.BufferStore) -> None:
        if store.buffer in small and is_product(store.value):
            found.append(store)

    callbacks = ((tirx.AllocBuffer, on_allocation), (tirx.BufferStore, on_store))
    tvm_ffi.structural_walk(func.body, callbacks, order="pre")
    return bool(found)


def is_product(value: tvm.ir.Expr) -> bool:
    """Whether ``value`` is a product, looking through selects and casts."""
    if isinstance(value, tirx.Cast):
        return is_product(value.value)
    if isinstance(value, tirx.Select):
        return is_product(value.true_value) or is_product(value.false_value)
    if isinstance(value, tvm.ir.Call) and getattr(value.op, "name", "").endswith("if_then_else"):
        return is_product(value.args[1]) or is_product(value.args[2])
    return isinstance(value, tirx.Mul)


def added_products(node: object) -> int:
    """Number of floating-point additions in ``node`` of which an operand is a product."""
    found: list[object] = []

    def on_sum(total: tirx.Add | tirx.Sub) -> None:
        if "float" in str(total.ty.dtype) and any(is_product(operand) for operand in (total.a, total.b)):
            found.append(total)

    tvm_ffi.structural_walk(node, ((tirx.Add, on_sum), (tirx.Sub, on_sum)))
    return len(found)

"""Where a kernel's rounding could depend on its form.

Targets that multiply and add in one instruction round once where the code generator sees both together.
Over buffers on the stack it sees through memory: their loops are short enough to be unrolled, and whether
a product that is stored there meets the addition that reads it depends on all the code around. A kernel
with such a product keeps the loops and the parameters that TVM gave it, and no other gets a form with one.
"""

from __future__ import annotations

import os

import tvm
import tvm_ffi
from tvm import tirx
from tvm.target import codegen

from tvm_memopt.passes.tir.statements import STACK_NBYTES, dtype_of, nbytes_of


def fuses_multiply_add(target: tvm.target.Target | None) -> bool:
    """Whether code for ``target`` may multiply and add with one rounding; true where that is not known."""
    if target is None or target.kind.name != "llvm":
        return True
    triple = str(target.attrs.get("mtriple", None) or os.uname().machine)
    if not triple.startswith(("x86_64", "i386", "i486", "i586", "i686")):
        return True  # a part of the base instructions, as on AArch64
    return any(codegen.target_has_features(feature, target) for feature in ("fma", "fma4", "avx512f"))


def keeps_products_on_the_stack(func: tirx.PrimFunc) -> bool:
    """Whether the flat kernel ``func`` stores a product of floats in scratch memory on the stack."""
    small: set[tvm.ir.Var] = set()
    found: list[tirx.BufferStore] = []

    def on_allocation(node: tirx.AllocBuffer) -> None:
        nbytes = nbytes_of(node.buffer)
        if nbytes is not None and nbytes <= STACK_NBYTES and "float" in dtype_of(node.buffer):
            small.add(node.buffer)

    def on_store(store: tirx.BufferStore) -> None:
        if store.buffer in small and _is_product(store.value):
            found.append(store)

    callbacks = ((tirx.AllocBuffer, on_allocation), (tirx.BufferStore, on_store))
    tvm_ffi.structural_walk(func.body, callbacks, order="pre")
    return bool(found)


def _is_product(value: tvm.ir.Expr) -> bool:
    """Whether ``value`` is a product once choices and conversions are seen through."""
    if isinstance(value, tirx.Cast):
        return _is_product(value.value)
    if isinstance(value, tirx.Select):
        return _is_product(value.true_value) or _is_product(value.false_value)
    if isinstance(value, tvm.ir.Call) and getattr(value.op, "name", "").endswith("if_then_else"):
        return _is_product(value.args[1]) or _is_product(value.args[2])
    return isinstance(value, tirx.Mul)

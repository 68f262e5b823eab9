"""Lower a quantised module to kernels between narrow tensors, and weigh their run time against TVM's own kernels."""

from __future__ import annotations

import hashlib
from collections import Counter

import tvm
from tvm import relax, tirx

from tvm_memopt.passes.relax.narrow.kernels import fold_narrow_kernels
from tvm_memopt.passes.relax.narrow.rewrite import cut_at_narrow_tensors
from tvm_memopt.passes.relax.narrow.weights import fold_all_but_narrow_weights
from tvm_memopt.passes.tir.cost import cost_key, default_cache, read_cache
from tvm_memopt.passes.tir.form_times import is_static, keep_ratios, paired_seconds
from tvm_memopt.passes.tir.rounding import fuses_multiply_add
from tvm_memopt.passes.tir.workspace import kernel_forms
from tvm_memopt.targets.host import runs_here

_MEASURING_SECONDS = 2.0  # for all kernels of both modules; each runs at least twice


def narrow_passes(target: tvm.target.Target, *, integer: bool = False) -> list[tvm.transform.Pass]:
    """TVM's legalisation and fusion, with kernels cut at narrow tensors where the module is quantised.

    A sum of floating-point products is not folded where the target may round it once, so that additions join
    convolutions only if they are ``integer``, or if the target does not.
    """
    return [
        relax.transform.LegalizeOps(),
        fold_all_but_narrow_weights(),
        relax.transform.AnnotateTIROpPattern(),
        cut_at_narrow_tensors(joins=integer or not fuses_multiply_add(target)),
        relax.transform.FuseOps(),
        relax.transform.FuseTIR(),
        fold_narrow_kernels(target),
    ]


def narrow_price(narrow: tvm.IRModule, wide: tvm.IRModule, target: tvm.target.Target) -> float | None:
    """Seconds of the kernels of ``narrow`` divided by those of ``wide``, both lowered. None if nothing can be measured.

    Ratios are cached on disk by the structure of all kernels, target and device.
    """
    calls = [_kernel_calls(mod) for mod in (narrow, wide)]
    funcs = {name: narrow[name] for name in calls[0]}
    used = [f for mod, names in zip((narrow, wide), calls, strict=True) for f in (mod[name] for name in names)]
    if not used or target.kind.name != "llvm" or not runs_here(target) or not all(map(is_static, used)):
        return None
    counts = [count for names in calls for count in names.values()]
    key = hashlib.sha256("|".join(f"{cost_key(f, target)}*{n}" for f, n in zip(used, counts, strict=True)).encode())
    path, name = default_cache().with_name("narrow.json"), key.hexdigest()[:32]
    known = read_cache(path)
    if name not in known:
        forms = kernel_forms(funcs, target)
        timed = [forms[n].fast.func for n in calls[0]] + used[len(calls[0]) :]
        seconds = paired_seconds(timed, target, limit=_MEASURING_SECONDS)
        weighed = [s * n for s, n in zip(seconds, counts, strict=True)]
        known[name] = sum(weighed[: len(calls[0])]) / sum(weighed[len(calls[0]) :])
        keep_ratios(path, known)
    return known[name]


def _kernel_calls(mod: tvm.IRModule) -> Counter[str]:
    """How often the Relax functions of ``mod`` call each kernel."""
    found: Counter[str] = Counter()

    def visit(expr: relax.Expr) -> None:
        callee = expr.op if isinstance(expr, relax.Call) else None
        if isinstance(callee, tvm.ir.GlobalVar) and isinstance(mod[callee], tirx.PrimFunc):
            found[callee.name_hint] += 1

    for _, function in mod.functions_items():
        if isinstance(function, relax.Function):
            relax.analysis.post_order_visit(function, visit)
    return found

"""Relative run times of kernel forms: measured on the host, or fixed margins for other targets."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import tvm
from tvm import tirx

from tvm_memopt.atomic import write_text_atomic
from tvm_memopt.errors import MemoptError
from tvm_memopt.passes.tir.cost import cost_key, default_cache, read_cache, zero_arguments
from tvm_memopt.passes.tir.overlap import overlap_input
from tvm_memopt.passes.tir.statements import nbytes_of
from tvm_memopt.passes.tir.workspace import FORMS, SPLIT_FORMS, WORKSPACE_ALIGNMENT, KernelForms
from tvm_memopt.targets.host import runs_here

_ROUNDS = 9
_ROUND_SECONDS = 2e-4
# Used where nothing can be measured. These are margins, not measurements: a folded kernel whose loops keep an index
# test around each element can take 4.6 times as long.
_PRICES = {"split": 1.02, "rows": 1.15, "small": 1.25, "small_split": 1.25}
_TESTED_PRICE = 5.0
_OVERLAP_PRICE = 1.15
_log = logging.getLogger("tvm_memopt")


@dataclass
class FormTimes:
    """Run time of each form of a kernel divided by that of its ``fast`` form, determined on first use.

    Measured times are cached on disk by structural hash, target and device. ``loops``: what the ``fast`` form has, for
    messages.
    """

    forms: Mapping[str, KernelForms]
    target: tvm.target.Target
    path: Path = field(default_factory=lambda: default_cache().with_name("forms.json"))
    known: dict[tuple[str, str], float] = field(default_factory=dict)
    loops: str = "TVM's own loops"

    def ratio(self, name: str, form: str) -> float:
        """Run time of kernel ``name`` in ``form`` divided by that of TVM's own loops. Raises KeyError if it has no
        such form."""
        if form == "fast":
            return 1.0
        if (name, form) not in self.known:
            self.known[name, form] = self._find(name, form)
        return self.known[name, form]

    def _find(self, name: str, form: str) -> float:
        kernels = [self.forms[name].form(one) for one in ("fast", form)]
        funcs = [kernel.func for kernel in kernels if kernel is not None]
        if len(funcs) < len(kernels):
            raise KeyError(f"kernel {name} has no form {form}")
        if self.target.kind.name != "llvm" or not runs_here(self.target) or not all(map(is_static, funcs)):
            folded = form in ("small", "small_split")
            return _TESTED_PRICE if folded and self.forms[name].tested else _PRICES[form]
        key = hashlib.sha256("|".join(cost_key(func, self.target) for func in funcs).encode()).hexdigest()[:32]
        cached = read_cache(self.path)
        if key not in cached:
            fast, other = paired_seconds(funcs, self.target)
            cached[key] = other / fast
            keep_ratios(self.path, cached)
        return cached[key]

    def overlap_ratio(self, name: str, form: str, pairs: tuple[tuple[int, ...], ...]) -> float:
        """Run time of kernel ``name`` in ``form`` with overlapping parameters, divided by that with them apart.

        ``pairs``: (input, output, bytes by which the input begins above the output). Others are left as they are.
        """
        kernel = self.forms[name].form(form)
        if kernel is None:
            raise KeyError(f"kernel {name} has no form {form}")
        shifts = [(pair[0], pair[1], pair[2]) for pair in pairs if len(pair) == 3]
        func = kernel.func
        for shift in shifts:
            func = overlap_input(func, *shift)
        if self.target.kind.name != "llvm" or not runs_here(self.target) or not is_static(func):
            return _OVERLAP_PRICE
        keys = "|".join(cost_key(each, self.target) for each in (kernel.func, func))
        key = hashlib.sha256(f"overlap {keys}".encode()).hexdigest()[:32]
        cached = read_cache(self.path)
        if key not in cached:
            arguments = [zero_arguments(func), overlapping_arguments(func, shifts)]
            apart, together = paired_seconds([kernel.func, func], self.target, arguments=arguments)
            cached[key] = together / apart
            keep_ratios(self.path, cached)
        return cached[key]

    def without_costly_splits(self, limit: float) -> FormTimes:
        """The same without the split forms that take more than ``limit`` times as long as TVM's own loops."""
        return replace(self, forms={name: self._without_costly(name, limit) for name in self.forms})

    def _without_costly(self, name: str, limit: float) -> KernelForms:
        found = self.forms[name]
        free = {f: found.form(f) if self.ratio(name, f) <= limit else None for f in SPLIT_FORMS if found.form(f)}
        return replace(found, split=free.get("split"), small_split=free.get("small_split"))

    def fastest_first(self, name: str, forms: Iterable[str]) -> list[str]:
        """Those of the ``forms`` of kernel ``name``, fastest first. TVM's own loops win ties."""
        return sorted(forms, key=lambda form: (self.ratio(name, form), FORMS.index(form)))


def keep_ratios(path: Path, ratios: Mapping[str, float]) -> None:
    """Write the cache. A failure is only logged: the build continues, and the next one times the kernels again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomic(path, json.dumps(ratios, indent=1, sort_keys=True))
    except (OSError, MemoptError) as error:
        _log.info("kernel times are not cached in %s: %s", path, error)


def is_static(func: tirx.PrimFunc) -> bool:
    """Whether all parameters of ``func`` are buffers of known size."""
    return all(tirx.is_buffer_var(p) and nbytes_of(p) is not None for p in func.params)


def overlapping_arguments(func: tirx.PrimFunc, shifts: Sequence[tuple[int, int, int]]) -> list[tvm.runtime.Tensor]:
    """A tensor of zeros for each parameter. An output has room around it, where its input is read."""
    arguments = zero_arguments(func)
    for source, target, shift in shifts:
        wanted = nbytes_of(func.params[target]) or 0
        low = max(0, -shift)
        nbytes = low + max(wanted, shift + (nbytes_of(func.params[source]) or 0))
        memory = np.zeros(nbytes + WORKSPACE_ALIGNMENT, np.uint8)
        low += -(memory.ctypes.data + low) % WORKSPACE_ALIGNMENT
        buffer = arguments[target].numpy()
        inside = memory[low : low + wanted].view(buffer.dtype).reshape(buffer.shape)
        arguments[target] = tvm.runtime.from_dlpack(inside)
    return arguments


def paired_seconds(
    funcs: list[tirx.PrimFunc],
    target: tvm.target.Target,
    *,
    limit: float | None = None,
    arguments: Sequence[list[tvm.runtime.Tensor]] | None = None,
) -> list[float]:
    """Minimum seconds of each kernel on this machine, on zero-filled arguments.

    The kernels run in turn, so that a change of clock frequency affects all of them alike. ``limit``: seconds after
    which no further round begins. ``arguments``: of each kernel; tensors of zeros if None.
    """
    named = {f"kernel_{i}": func.with_attr("global_symbol", f"kernel_{i}") for i, func in enumerate(funcs)}
    built = tvm.compile(tvm.IRModule(named), target).mod
    timers, spent = [], 0.0
    given = [zero_arguments(func) for func in funcs] if arguments is None else arguments
    for name, values in zip(named, given, strict=True):
        once = built.time_evaluator(name, tvm.cpu(), number=1, repeat=2)(*values).results[-1]
        number = max(1, round(_ROUND_SECONDS / max(once, 1e-9)))
        timers.append((built.time_evaluator(name, tvm.cpu(), number=number, repeat=1), values))
        spent += max(once, _ROUND_SECONDS)
    rounds = _ROUNDS if limit is None else min(_ROUNDS, max(1, int(limit / spent)))
    seconds = [[timer(*values).results[0] for timer, values in timers] for _ in range(rounds)]
    return [max(min(column), 1e-9) for column in zip(*seconds, strict=True)]

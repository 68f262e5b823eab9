"""Relative run times of kernel forms: measured on the host, or fixed margins for other targets."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import tvm
from tvm import tirx

from tvm_memopt.atomic import write_text_atomic
from tvm_memopt.errors import MemoptError
from tvm_memopt.passes.tir.cost import cost_key, default_cache, read_cache, zero_arguments
from tvm_memopt.passes.tir.statements import nbytes_of
from tvm_memopt.passes.tir.workspace import FORMS, SPLIT_FORMS, KernelForms
from tvm_memopt.targets.host import runs_here

_ROUNDS = 9
_ROUND_SECONDS = 2e-4
# Used where nothing can be measured. These are margins, not measurements: a folded kernel whose loops keep an index
# test around each element can take 4.6 times as long.
_PRICES = {"split": 1.02, "rows": 1.15, "small": 1.25, "small_split": 1.25}
_TESTED_PRICE = 5.0
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


def paired_seconds(funcs: list[tirx.PrimFunc], target: tvm.target.Target, *, limit: float | None = None) -> list[float]:
    """Minimum seconds of each kernel on this machine, on zero-filled arguments.

    The kernels run in turn, so that a change of clock frequency affects all of them alike. ``limit``: seconds after
    which no further round begins.
    """
    named = {f"kernel_{i}": func.with_attr("global_symbol", f"kernel_{i}") for i, func in enumerate(funcs)}
    built = tvm.compile(tvm.IRModule(named), target).mod
    timers, spent = [], 0.0
    for name, func in zip(named, funcs, strict=True):
        arguments = zero_arguments(func)
        once = built.time_evaluator(name, tvm.cpu(), number=1, repeat=2)(*arguments).results[-1]
        number = max(1, round(_ROUND_SECONDS / max(once, 1e-9)))
        timers.append((built.time_evaluator(name, tvm.cpu(), number=number, repeat=1), arguments))
        spent += max(once, _ROUND_SECONDS)
    rounds = _ROUNDS if limit is None else min(_ROUNDS, max(1, int(limit / spent)))
    seconds = [[timer(*arguments).results[0] for timer, arguments in timers] for _ in range(rounds)]
    return [max(min(column), 1e-9) for column in zip(*seconds, strict=True)]

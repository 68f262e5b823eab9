"""Scratch memory inside kernels: measured, removed where possible, and otherwise moved into the arena.

No Relax pass sees these buffers, yet they are often as large as the activations. In each kernel, stages
that only move data can be folded into their readers. Buffers that fit into the kernel's output are
merged with it. The rest become parameters, so that the planner places them like any tensor. Small buffers
that TVM puts on the stack, and buffers allocated inside parallel loops, stay and are counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import tvm
import tvm_ffi
from tvm import tirx
from tvm.ir import Var

from tvm_memopt.graph.bounds import align_up
from tvm_memopt.native_output import native_stderr_discarded
from tvm_memopt.passes.tir.inline import inline_data_movement
from tvm_memopt.passes.tir.lower import has_scratch_views, lower_to_flat_buffers
from tvm_memopt.passes.tir.overlap import overlap_parameters
from tvm_memopt.passes.tir.partition import has_residues, partition_folds, tests_indices
from tvm_memopt.passes.tir.rounding import fuses_multiply_add, keeps_products_on_the_stack
from tvm_memopt.passes.tir.rows import buffer_rows, is_scheduled
from tvm_memopt.passes.tir.sharing import inplace_parameters, share_outputs, with_statements
from tvm_memopt.passes.tir.stages import split_stages
from tvm_memopt.passes.tir.statements import STACK_NBYTES, analyze, flatten_statements, nbytes_of

WORKSPACE_ALIGNMENT = 64
FORMS = ("fast", "split", "rows", "small", "small_split")
"""Names of kernel forms. Those further back tend to need less workspace and more time."""
SPLIT_FORMS = ("split", "small_split")
_LEAST_GAIN = 1024  # bytes that a split kernel must save
_MOST_STORES = 400  # per kernel: beyond that, LLVM's compile time matters more than an index test


@dataclass(frozen=True)
class Kernel:
    """One compiled form of a PrimFunc.

    ``func``: flat, with its lifted scratch buffers appended to the parameters. ``workspace``: those buffers.
    ``kept_nbytes``: scratch that TVM still allocates itself. ``stack_nbytes``: scratch on the stack.
    ``original``: TVM's own PrimFunc if ``func`` is merely its lowered form; calls whose parameters share no
    memory use it. ``fixed``: no two parameters may share memory.
    """

    func: tirx.PrimFunc
    workspace: tuple[Var, ...]
    kept_nbytes: int
    stack_nbytes: int
    original: tirx.PrimFunc | None = None
    fixed: bool = False

    @property
    def offsets(self) -> tuple[int, ...]:
        """Offset of each scratch buffer in the kernel's workspace, in bytes."""
        starts, top = [], 0
        for buffer in self.workspace:
            starts.append(top)
            top = align_up(top + (nbytes_of(buffer) or 0), WORKSPACE_ALIGNMENT)
        return tuple(starts)

    @cached_property
    def workspace_nbytes(self) -> int:
        """Bytes of the workspace."""
        if not self.workspace:
            return 0
        return self.offsets[-1] + (nbytes_of(self.workspace[-1]) or 0)

    @property
    def scratch_nbytes(self) -> int:
        """Bytes of all scratch buffers except those on the stack."""
        return self.workspace_nbytes + self.kept_nbytes

    @cached_property
    def least_nbytes(self) -> int:
        """Bytes of the scratch buffers, less those of the largest input whose memory an output may take."""
        shared = (nbytes_of(self.func.params[target]) or 0 for _, target in self.inplace)
        return self.scratch_nbytes - max(shared, default=0)

    @cached_property
    def stored_parameters(self) -> tuple[int, ...]:
        """Positions of the parameters that the kernel writes, or may write."""
        kernel = analyze(self.func)
        written = {*kernel.stores, *kernel.opaque}
        return tuple(i for i, p in enumerate(self.func.params) if p in written)

    @cached_property
    def inplace(self) -> tuple[tuple[int, int], ...]:
        """In-place pairs (input, output): parameter positions that may share memory."""
        if self.fixed:
            return ()
        first = self.workspace_position
        lifted = set(range(first, first + len(self.workspace)))
        return tuple(p for p in inplace_parameters(self.func) if not lifted & set(p))

    @cached_property
    def overlaps(self) -> dict[tuple[int, int], int]:
        """Least distance in bytes of each (input, output) pair of parameters that may overlap, by position."""
        if self.fixed:
            return {}
        first = self.workspace_position
        lifted = set(range(first, first + len(self.workspace)))
        return {pair: distance for pair, distance in overlap_parameters(self.func).items() if not lifted & set(pair)}

    def allows(self, pair: tuple[int, ...]) -> bool:
        """Whether the parameters of (input, output) may share an address, or of (input, output, shift) may overlap."""
        if len(pair) == 2:
            return pair in self.inplace
        distance = self.overlaps.get((pair[0], pair[1]))
        return distance is not None and pair[2] >= distance

    @property
    def workspace_position(self) -> int:
        """Position of the first scratch buffer among the parameters: after the other buffers."""
        return sum(bool(tirx.is_buffer_var(p)) for p in self.func.params) - len(self.workspace)


@dataclass(frozen=True)
class KernelForms:
    """The forms of one PrimFunc. A form that gains nothing is None.

    ``fast`` has TVM's own loops. ``small`` folds data movement into its readers and needs less workspace. ``split`` and
    ``small_split`` run the stages of these two band by band. ``original``: the PrimFunc as fused by TVM.
    ``original_nbytes``: scratch of TVM's own build, without the stack. ``fused``: the target may multiply and add with
    one rounding. ``residues``: tests of remainders were removed from ``small``, which probably makes it faster than
    ``fast``. ``folds``: whether data movement may be folded.
    """

    fast: Kernel
    small: Kernel | None
    original: tirx.PrimFunc
    original_nbytes: int
    fused: bool = True
    residues: bool = False
    split: Kernel | None = None
    small_split: Kernel | None = None
    folds: bool = True

    @cached_property
    def tested(self) -> bool:
        """Whether the loops of ``small`` still have an index test around the elements they read."""
        return self.small is not None and tests_indices(self.small.func)

    @cached_property
    def smallest(self) -> str:
        """The name of the form that needs least memory if its output takes the place of an input."""
        known = {name: kernel for name in ("fast", "split", "small", "small_split") if (kernel := self.form(name))}
        return min(known, key=lambda name: known[name].least_nbytes)

    def form(self, name: str) -> Kernel | None:
        """The form with this name, one of FORMS, or None if the kernel lacks it."""
        found: Kernel | None = getattr(self, name)
        return found

    @property
    def several(self) -> bool:
        """Whether there is a form that needs less memory than ``fast``."""
        return any(kernel is not None for kernel in (self.split, self.small, self.small_split))

    @property
    def named(self) -> dict[str, Kernel]:
        """The available forms by name."""
        return {name: kernel for name in FORMS if (kernel := self.form(name)) is not None}

    @cached_property
    def rows(self) -> Kernel | None:
        """The form that moves data a few rows at a time, or None if it needs no less workspace than ``fast``."""
        func = buffer_rows(self.original) if self.folds and not self.fast.fixed else None
        flat = None if func is None else _lower({"rows": func})["rows"]
        if flat is None or (self.fused and keeps_products_on_the_stack(flat)):
            return None
        kernel = _kernel(func, flat)
        return kernel if kernel.scratch_nbytes < self.fast.scratch_nbytes and not kernel.kept_nbytes else None

    def restricted(self, fold: str, split: str) -> KernelForms:
        """The forms that the options allow. With ``fold="always"``, the folded kernel takes the place of ``fast``."""
        found = self if split != "never" else replace(self, split=None, small_split=None)
        if fold == "auto":
            return found
        found = replace(found, small=None, small_split=None, folds=False, residues=False)
        if fold == "always" and self.small is not None:
            folded = self.small_split if tests_indices(self.original) else self.split  # both fold copies without tests
            return _with_split(replace(found, fast=self.small, split=None), folded if split != "never" else None, None)
        return found


def kernel_forms(kernels: dict[str, tirx.PrimFunc], target: tvm.target.Target | None = None) -> dict[str, KernelForms]:
    """The forms of each PrimFunc, by name, that give bit-identical results on ``target`` (None: on any target).

    Kernels that cannot be analysed keep their scratch. A kernel with a schedule has one form: to fold stages of tiled
    and vectorized loops takes TVM minutes, or fails.
    """
    lowered, fused = _lower(kernels), fuses_multiply_add(target)
    unsteady = {name for name, func in lowered.items() if fused and keeps_products_on_the_stack(func)}
    fast = {name: _kernel(kernels[name], func, name in unsteady) for name, func in lowered.items()}
    wanting = [n for n, k in fast.items() if k.scratch_nbytes and n not in unsteady and not is_scheduled(kernels[n])]
    folded = _lowerable({name: f for name in wanting if (f := inline_data_movement(kernels[name])) is not None})
    small = _steady(_folded_kernels(folded), fused)
    forms = {
        name: KernelForms(
            kernel,
            _if_smaller(small.get(name), kernel),
            kernels[name],
            scratch_nbytes(lowered[name]),
            fused,
            name in folded and has_residues(folded[name]),
        )
        for name, kernel in fast.items()
    }
    return _with_splits(forms, folded)


def _steady(kernels: Mapping[str, Kernel], fused: bool) -> dict[str, Kernel]:
    """The kernels whose rounding does not depend on their form."""
    return {name: k for name, k in kernels.items() if not (fused and keeps_products_on_the_stack(k.func))}


def _with_splits(forms: Mapping[str, KernelForms], folded: Mapping[str, tirx.PrimFunc]) -> dict[str, KernelForms]:
    """Add the split forms of each kernel, where they save memory."""
    wanting = {name: found for name, found in forms.items() if not found.fast.fixed and _may_gain(found.fast)}
    nests = {name: nest for name, found in wanting.items() if (nest := split_stages(found.original, fused=found.fused))}
    padded = {name: folded[name] for name in wanting if name in folded and tests_indices(folded[name])}
    folded_nests = {
        name: nest for name, func in padded.items() if (nest := split_stages(func, fused=wanting[name].fused))
    }
    nests, folded_nests = _lowerable(nests), _lowerable(folded_nests)
    fused = any(found.fused for found in wanting.values())
    split = _steady({name: _kernel(nests[name], flat) for name, flat in _lower(nests).items()}, fused)
    small_split = _steady(_folded_kernels(folded_nests), fused)
    return {name: _with_split(found, split.get(name), small_split.get(name)) for name, found in forms.items()}


def _may_gain(kernel: Kernel) -> bool:
    """Whether ``kernel`` has enough scratch to save, or an output that takes the place of none of several inputs."""
    if kernel.scratch_nbytes >= _LEAST_GAIN:
        return True
    stored = set(kernel.stored_parameters)
    buffers = [p if tirx.is_buffer_var(p) else None for p in kernel.func.params]
    sizes = [0 if b is None else nbytes_of(b) or 0 for b in buffers]
    paired = {source for source, _ in kernel.inplace}
    return any(
        sizes[source] == sizes[target] >= _LEAST_GAIN
        for target in stored
        for source in set(range(len(sizes))) - stored - paired
    )


def _with_split(found: KernelForms, split: Kernel | None, small_split: Kernel | None) -> KernelForms:
    if split is not None and _saves(split, [found.fast]):
        found = replace(found, split=split)
    rivals = [kernel for kernel in (found.fast, found.small, found.split) if kernel is not None]
    if small_split is not None and _saves(small_split, rivals):
        found = replace(found, small_split=small_split)
    return found


def _saves(kernel: Kernel, rivals: list[Kernel]) -> bool:
    least = min(rival.least_nbytes for rival in rivals)
    return not kernel.kept_nbytes and kernel.least_nbytes + _LEAST_GAIN <= least


def _lowerable(folded: dict[str, tirx.PrimFunc]) -> dict[str, tirx.PrimFunc]:
    """The folded kernels that TVM can lower. It fails where a reader outside all blocks still reads a folded buffer."""
    if _lowers(folded):
        return folded
    return {name: func for name, func in folded.items() if _lowers({name: func})}


def _lowers(kernels: Mapping[str, tirx.PrimFunc]) -> bool:
    try:
        with native_stderr_discarded():
            _lower(kernels)
    except (RuntimeError, ValueError, TypeError):
        return False
    return True


def _folded_kernels(folded: Mapping[str, tirx.PrimFunc]) -> dict[str, Kernel]:
    """Lower folded kernels, splitting index tests off their inner loops where possible."""
    parted = _lower({name: partition_folds(func) for name, func in folded.items()}, partition=True)
    kernels = {name: _kernel(folded[name], func) for name, func in parted.items() if _stores(func) <= _MOST_STORES}
    # The original is the folded form before the split, so calls use the flat form instead.
    kernels = {name: replace(kernel, original=None) for name, kernel in kernels.items() if not kernel.fixed}
    rest = _lower({name: func for name, func in folded.items() if name not in kernels})
    return {**kernels, **{name: _kernel(folded[name], func) for name, func in rest.items()}}


def _stores(func: tirx.PrimFunc) -> int:
    found: list[tirx.BufferStore] = []
    tvm_ffi.structural_walk(func.body, (tirx.BufferStore, found.append))
    return len(found)


def _if_smaller(small: Kernel | None, fast: Kernel) -> Kernel | None:
    if small is None or small.scratch_nbytes >= fast.scratch_nbytes:
        return None
    return small


def _lower(kernels: Mapping[str, tirx.PrimFunc], *, partition: bool = False) -> dict[str, tirx.PrimFunc]:
    if not kernels:
        return {}
    named = {name: func.with_attr("global_symbol", name) for name, func in kernels.items()}
    lowered = lower_to_flat_buffers(tvm.IRModule(named), partition=partition)
    flat = {}
    for variable, func in lowered.functions_items():
        original = kernels[variable.name_hint]
        had_symbol = original.attrs is not None and "global_symbol" in original.attrs
        flat[variable.name_hint] = func if had_symbol else func.without_attr("global_symbol")
    return flat


def scratch_nbytes(func: tirx.PrimFunc) -> int:
    """Bytes of all scratch buffers in a flat kernel that are too large for the stack."""
    sizes = (nbytes_of(buffer) or 0 for buffer in _all_allocations(func))
    return sum(size for size in sizes if size > STACK_NBYTES)


def _all_allocations(func: tirx.PrimFunc) -> list[Var]:
    found: list[Var] = []
    tvm_ffi.structural_walk(func.body, (tirx.AllocBuffer, lambda node: found.append(node.buffer)))
    return found


def _kernel(original: tirx.PrimFunc, flat: tirx.PrimFunc, fixed: bool = False) -> Kernel:
    kernel = replace(_lift(share_outputs(flat)), fixed=fixed)
    out_of_reach = has_scratch_views(kernel.func)  # for example inside a loop
    if out_of_reach or not _lowers_again(original, kernel.func):  # keep TVM's own form
        return replace(_with_scratch(flat, ()), original=original, fixed=True)
    return replace(kernel, original=original) if kernel.func.same_as(flat) else kernel


def _lowers_again(original: tirx.PrimFunc, func: tirx.PrimFunc) -> bool:
    """Whether TVM can lower an already lowered kernel again.

    It can always do so for kernels without a schedule. Schedules from a tuner may vectorise, and StorageRewrite leaves
    buffers of vectors that it cannot read back.
    """
    if not is_scheduled(original):
        return True
    return _lowers({"kernel": func})


def _lift(func: tirx.PrimFunc) -> Kernel:
    """Turn scratch buffers too large for the stack into parameters.

    So are buffers of any size with views of another element type, which TVM's second StorageRewrite ignores.
    """
    kernel = analyze(func)
    viewed = set(kernel.root.values())
    lifted = [
        b
        for b in kernel.allocations()
        if str(b.scope()) == "global" and ((nbytes_of(b) or 0) > STACK_NBYTES or (b in viewed and nbytes_of(b)))
    ]
    rest = [
        s
        for s in flatten_statements(func)
        if not (isinstance(s, tirx.AllocBuffer) and any(s.buffer.same_as(b) for b in lifted))
    ]
    buffers = sum(map(tirx.is_buffer_var, func.params))
    params = [*func.params[:buffers], *lifted, *func.params[buffers:]]
    return _with_scratch(with_statements(func, params, rest) if lifted else func, tuple(lifted))


def _with_scratch(func: tirx.PrimFunc, lifted: tuple[Var, ...]) -> Kernel:
    sizes = [nbytes_of(buffer) or 0 for buffer in _all_allocations(func)]
    kept = sum(size for size in sizes if size > STACK_NBYTES)
    return Kernel(func, lifted, kept, sum(sizes) - kept)

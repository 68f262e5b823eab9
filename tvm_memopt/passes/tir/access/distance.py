"""How far an output may reach into an input of the same kernel: the least safe distance of their addresses.

Let the input begin ``distance`` bytes or more above the output. Then no byte of the input is overwritten before its
last read, in the order in which the kernel's loops run. The distance is exact for affine indices in rectangular loops
without conditions. Conditions are ignored, and what is not affine is bounded, both of which can only enlarge it.

The idea is that of Blacker, Bridges and Hadfield, "Diagonal Memory Optimisation for Machine Learning on
Micro-controllers" (2020), who trace the accesses of reference kernels instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction

import tvm
from tvm import tirx
from tvm.ir import Var

from tvm_memopt.passes.tir.access.affine import Affine
from tvm_memopt.passes.tir.access.collect import Access, Loop, UnknownOrderError, accesses
from tvm_memopt.passes.tir.statements import analyze, dtype_of, nbytes_of

_ZERO = Fraction(0)


def overlap_distances(func: tirx.PrimFunc) -> dict[tuple[int, int], int]:
    """The least safe distance, in bytes, of each (input, output) pair of parameters of a flat kernel.

    Offset of the input minus offset of the output. A negative distance lets the output begin inside the input. Where
    only disjoint buffers are safe, it is the size of the output. Pairs of which nothing is known are left out.
    """
    kernel = analyze(func)
    try:
        loads, stores = accesses(kernel)
    except UnknownOrderError:
        return {}
    buffers = [(i, p) for i, p in enumerate(func.params) if tirx.is_buffer_var(p) and p not in kernel.opaque]
    known = [(i, p) for i, p in buffers if nbytes_of(p)]
    sources = [(i, p) for i, p in known if kernel.loads.get(p) and not kernel.stores.get(p)]
    targets = [(i, p) for i, p in known if kernel.stores.get(p)]
    found = {}
    for i, source in sources:
        reads = [a for a in loads if a.buffer.same_as(source)]
        for o, target in targets:
            writes = [a for a in stores if a.buffer.same_as(target)]
            found[i, o] = _distance(writes, reads, target, source)
    return found


def _distance(writes: Iterable[Access], reads: Iterable[Access], target: Var, source: Var) -> int:
    wide, narrow = _element_nbytes(target), _element_nbytes(source)
    reads = list(reads)
    worst = [gap for w in writes for r in reads for gap in _gaps(w, r, wide, narrow)]
    room, taken = nbytes_of(source) or 0, nbytes_of(target) or 0
    if not worst:  # everything is read before anything is written
        return -room
    return min(max(math.floor(max(worst)) + wide, -room), taken)


def _element_nbytes(buffer: Var) -> int:
    dtype = tvm.DataType(dtype_of(buffer))
    return int((dtype.bits * dtype.lanes + 7) // 8)


def _gaps(write: Access, read: Access, wide: int, narrow: int) -> Iterator[Fraction]:
    """For each way in which the write can precede the read: the most bytes by which it begins above the read.

    Either an outer loop that both share advances in between, or both are in one iteration of all shared loops, and the
    write's statement comes first.
    """
    shared = _shared_loops(write, read)
    above, below = write.index.scaled(Fraction(wide)), read.index.scaled(Fraction(narrow))
    inside = [_extremes(above, loop)[1] for loop in write.loops[len(shared) :]]
    inside += [-_extremes(below, loop)[0] for loop in read.loops[len(shared) :]]
    rest = above.high - below.low + sum(inside, _ZERO)
    together = [_together(above, below, loop) for loop in shared]
    apart = [_extremes(above, loop)[1] - _extremes(below, loop)[0] for loop in shared]
    for level, loop in enumerate(shared):
        advanced = _advanced(above, below, loop)
        if advanced is not None:
            yield rest + sum(together[:level], _ZERO) + advanced + sum(apart[level + 1 :], _ZERO)
    if write.place[len(shared)] < read.place[len(shared)]:
        yield rest + sum(together, _ZERO)


def _shared_loops(write: Access, read: Access) -> list[Loop]:
    shared = []
    for one, other in zip(write.loops, read.loops, strict=False):
        if not one.variable.same_as(other.variable):
            break
        shared.append(one)
    return shared


def _coefficient(form: Affine, loop: Loop) -> Fraction:
    return form.coefficients.get(loop.variable, _ZERO)


def _extremes(form: Affine, loop: Loop) -> tuple[Fraction, Fraction]:
    """The least and the largest that the loop's variable adds to ``form``."""
    ends = [_coefficient(form, loop) * end for end in (loop.first, loop.last)]
    return min(ends), max(ends)


def _together(above: Affine, below: Affine, loop: Loop) -> Fraction:
    """The most that the loop adds to the difference where both are in one iteration."""
    step = _coefficient(above, loop) - _coefficient(below, loop)
    return max(step * loop.first, step * loop.last)


def _advanced(above: Affine, below: Affine, loop: Loop) -> Fraction | None:
    """The most that the loop adds to the difference where the read is in a later iteration; None if there is none.

    The difference is linear, so the corners of the triangle of all pairs of iterations suffice.
    """
    first, last = loop.first, loop.last
    if first == last:
        return None
    up, down = _coefficient(above, loop), _coefficient(below, loop)
    corners = [(first, first + 1), (first, last), (last - 1, last)]
    if not loop.ordered:
        corners += [(j, i) for i, j in corners]
    return max(up * i - down * j for i, j in corners)

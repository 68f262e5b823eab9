"""Split a kernel into bands: run its stages for a part of the output at a time.

TVM lowers a fused kernel stage by stage, with a whole tensor between two stages. Here the outer loops over the output
are shared by all stages, as far as no stage computes an element twice. A tensor between two stages then shrinks to one
band. Each element is computed by the same operations in the same order.

Stages are not folded into one expression: with fused multiply-add, that would change results. For the same reason a
band stays so long that the code generator cannot unroll a stage into the one that reads it (rounding.py).
"""

from __future__ import annotations

from math import prod

import tvm
import tvm_ffi
from tvm import s_tir, tirx
from tvm.ir.expr import TensorLoad

from tvm_memopt.passes.tir.inline import only_moves_data
from tvm_memopt.passes.tir.rounding import added_products, is_product
from tvm_memopt.passes.tir.statements import dtype_of, nbytes_of

LEAST_BAND_NBYTES = 1024
"""Smaller buffers would be put on the stack, and their loops would cost time."""
LONG_BAND_NBYTES = 16384
"""Loops over so many bytes are never unrolled as a whole, whatever the vectors of the target."""
_PARTS = 64  # bands of a tensor: more save little memory and cost time
_REDUCTION = 2  # IterVar kind of a reduction axis


def split_stages(func: tirx.PrimFunc, *, fused: bool) -> tirx.PrimFunc | None:
    """``func`` with its stages run band by band, or None if no stage can be.

    ``fused``: the target may multiply and add with one rounding.
    """
    if not _is_plain(func):
        return None
    schedule = s_tir.Schedule(tvm.IRModule({"main": func}))
    try:
        _inline_plain_copies(schedule)
        return _split(schedule, fused)
    except s_tir.ScheduleError:
        return None


def _is_plain(func: tirx.PrimFunc) -> bool:
    """Whether ``func`` is a sequence of stages without a schedule, all of known size."""
    scheduled = func.attrs is not None and bool(func.attrs.get("tirx.is_scheduled", False))
    if scheduled or not isinstance(func.body, s_tir.SBlockRealize):
        return False
    buffers = [*(p for p in func.params if tirx.is_buffer_var(p)), *func.body.block.alloc_buffers]
    return len(func.body.block.alloc_buffers) > 0 and all(nbytes_of(buffer) is not None for buffer in buffers)


def _blocks(schedule: s_tir.Schedule) -> list[object]:
    return list(schedule.get_child_blocks(schedule.get_sblock("root")))


def _inline_plain_copies(schedule: s_tir.Schedule) -> None:
    """Fold copies without an index test, such as reshapes. Transposed reads stay out of reductions."""
    for block in _blocks(schedule):
        node = schedule.get(block)
        if not only_moves_data(node) or not isinstance(node.body.value, TensorLoad):
            continue
        if any(_reduces(schedule, reader) for reader in schedule.get_consumers(block)) and not _keeps_indices(node):
            continue
        try:
            if schedule.get_consumers(block):
                schedule.compute_inline(block)
            else:
                schedule.reverse_compute_inline(block)
        except s_tir.ScheduleError:
            continue


def _keeps_indices(copy: s_tir.SBlock) -> bool:
    """Whether the copy reads each element at the index to which it is written, apart from axes of length one."""
    store = copy.body
    read, written = ([i for i in indices if not _is_zero(i)] for indices in (store.value.indices, store.indices))
    fixed = {axis.var for axis in copy.iter_vars if int(axis.dom.extent) == 1}
    read, written = ([i for i in indices if i not in fixed] for indices in (read, written))
    return len(read) == len(written) and all(a.same_as(b) for a, b in zip(read, written, strict=True))


def _is_zero(index: tvm.ir.Expr) -> bool:
    return isinstance(index, tirx.IntImm) and int(index) == 0


def _reduces(schedule: s_tir.Schedule, block: object) -> bool:
    return any(axis.iter_type == _REDUCTION for axis in schedule.get(block).iter_vars)


def _split(schedule: s_tir.Schedule, fused: bool) -> tirx.PrimFunc | None:
    outputs = {schedule.get(block).name_hint for block in schedule.get_output_blocks(schedule.get_sblock("root"))}
    stages = [block for block in _blocks(schedule) if schedule.get(block).name_hint not in outputs]
    last = max(_blocks(schedule), key=lambda block: (schedule.get(block).name_hint in outputs, _size(schedule, block)))
    least = _least_count(schedule, stages, last, fused) if stages else None
    for splits in (True, False):
        trial = schedule.copy()
        loops = [] if least is None else _outer_loops(trial, last, least, splits=splits)
        inside = _nest(trial, stages, loops, fused)
        if inside and (not splits or max(inside) == len(loops) - 1):  # else the last loop was split for nothing
            return trial.mod["main"]
    return None


def _extents(schedule: s_tir.Schedule, block: object) -> list[int]:
    """The extents of the loops around ``block`` up to its first reduction. Empty if they do more than count."""
    axes, nests = list(schedule.get(block).iter_vars), [schedule.get(loop) for loop in schedule.get_loops(block)]
    if len(axes) != len(nests) or any(n.kind != tirx.ForKind.SERIAL or n.annotations for n in nests):
        return []
    inner = next((i for i, axis in enumerate(axes) if axis.iter_type == _REDUCTION), len(axes))
    return [int(nest.extent) for nest in nests[:inner]]


def _size(schedule: s_tir.Schedule, block: object) -> int:
    return prod(_extents(schedule, block) or [0])


def _least_count(schedule: s_tir.Schedule, stages: list[object], last: object, fused: bool) -> int:
    """Least number of elements in a band, for the narrowest type that is stored between stages."""
    nodes = [schedule.get(stage) for stage in stages]
    kinds = [tvm.DataType(dtype_of(written.source)) for node in nodes for written in node.writes]
    narrowest: int = min(max(1, kind.bits // 8) for kind in kinds)
    if fused and any(map(_may_contract, [*nodes, schedule.get(last)])):
        return LONG_BAND_NBYTES // narrowest
    part = _size(schedule, last) * narrowest // _PARTS
    return min(max(part, LEAST_BAND_NBYTES), LONG_BAND_NBYTES) // narrowest


def _may_contract(block: s_tir.SBlock) -> bool:
    """Whether a product of ``block`` meets an addition where the code around it decides: outside reductions."""
    if any(axis.iter_type == _REDUCTION for axis in block.iter_vars):
        return False
    stores: list[tirx.BufferStore] = []
    tvm_ffi.structural_walk(block.body, (tirx.BufferStore, stores.append))
    floats = [store for store in stores if "float" in dtype_of(store.buffer)]
    return any(is_product(store.value) or added_products(store.value) for store in floats)


def _outer_loops(schedule: s_tir.Schedule, last: object, least: int, *, splits: bool) -> list[object]:
    """The loops around ``last`` that count bands of at least ``least`` elements, outermost first.

    ``splits``: split the last of them, if need be, for the shortest such bands.
    """
    loops, size = list(schedule.get_loops(last)), 1
    for position, extent in reversed(list(enumerate(_extents(schedule, last)))):
        if size * extent < least:
            size *= extent
            continue
        outer = loops[:position]
        divisor = next(d for d in range(1, extent + 1) if extent % d == 0 and size * d >= least)
        if divisor == 1:
            outer.append(loops[position])
        elif splits and divisor < extent:
            outer.append(schedule.split(loops[position], [None, divisor])[0])
        return [loop for loop in outer if int(schedule.get(loop).extent) > 1]
    return []


def _nest(schedule: s_tir.Schedule, stages: list[object], loops: list[object], fused: bool) -> list[int]:
    """Move each stage into the innermost of ``loops`` at which it computes nothing twice.

    Returns the positions of the loops that have stages.
    """
    found = []
    for stage in reversed(stages):
        for position in reversed(range(len(loops))):
            if _fits(schedule, stage, loops[: position + 1], fused):
                schedule.compute_at(stage, loops[position])
                found.append(position)
                break
    return found


def _fits(schedule: s_tir.Schedule, stage: object, loops: list[object], fused: bool) -> bool:
    """Whether ``stage`` can be computed inside ``loops`` without computing an element twice or rounding differently."""
    trial, node = schedule.copy(), schedule.get(stage)
    if fused and _may_contract(node):
        bands = prod(int(schedule.get(loop).extent) for loop in loops)
        if sum(nbytes_of(written.source) or 0 for written in node.writes) < bands * LONG_BAND_NBYTES:
            return False
    try:
        trial.compute_at(stage, loops[-1])
    except s_tir.ScheduleError:
        return False
    inside, alone = _iterations(trial, stage), _iterations(schedule, stage)
    return inside is not None and alone is not None and inside <= alone


def _iterations(schedule: s_tir.Schedule, block: object) -> int | None:
    """How often the loops around ``block`` run it. None if a loop's length is no constant, as at a padded border."""
    extents = [schedule.get(loop).extent for loop in schedule.get_loops(block)]
    if not all(isinstance(extent, tirx.IntImm) for extent in extents):
        return None
    return prod(map(int, extents))

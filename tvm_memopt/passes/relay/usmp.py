"""The plan as an algorithm of TVM's Unified Static Memory Planner (USMP), for the ahead-of-time executor.

USMP hands over every buffer with those that are alive beside it: tensors between kernels (``sid_…``), scratch of
kernels, constants. A kernel that several calls share has its scratch at one address for all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import tir
from tvm.tir.usmp.utils import PoolAllocation

from tvm_memopt.errors import BudgetError, NoPlanError
from tvm_memopt.graph import Allocation, align_up
from tvm_memopt.passes.relay.buffer_names import buffer_tensors, merged_buffers
from tvm_memopt.passes.relay.kernels import LANES_PASS
from tvm_memopt.passes.relay.planning import RelayOptions, RelayPlan
from tvm_memopt.solvers import Deadline
from tvm_memopt.solvers.layout.conflicts import ConflictBlocks, merged_blocks, place_conflicts, place_in_pools

ALGORITHM = "memopt"
_RIVALS = ("greedy_by_size", "greedy_by_conflicts", "hill_climb")
_STATE = threading.local()


@dataclass
class PoolReport:
    """What the last run of the algorithm placed.

    ``pools``: bytes of each pool. ``places``: pool and offset of each buffer by USMP's name. ``method``: what found the
    placement. ``bound_nbytes``: lower bound on a single workspace pool.
    """

    pools: dict[str, int]
    places: dict[str, tuple[str, int]]
    method: str
    bound_nbytes: int


def expect(planned: RelayPlan | None, options: RelayOptions, on_placed: Any = None) -> None:
    """Keep a plan for the next run of the algorithm in this thread.

    ``on_placed``: called with its PoolReport and the bytes of the workspace's buffers by name.
    """
    _STATE.pending = (planned, options, on_placed)


def register_algorithm() -> None:
    """Register the algorithm by name. Calling it again changes nothing."""
    tvm.register_func(f"tir.usmp.algo.{ALGORITHM}", place_buffers, override=True)


@tir.transform.prim_func_pass(opt_level=0, name=LANES_PASS)
def scalar_extents(func: Any, _mod: Any, _context: Any) -> Any:
    """Write vector lanes into the extents of allocations: USMP of TVM 0.16 computes sizes without the lanes."""

    def post(node: Any) -> Any:
        lanes = tvm.DataType(str(node.dtype)).lanes
        if lanes == 1 or not node.extents:
            return None
        extents = [node.extents[0] * lanes, *node.extents[1:]]
        return tir.Allocate(node.buffer_var, node.dtype, extents, node.condition, node.body, node.annotations)

    return func.with_body(tir.stmt_functor.ir_transform(func.body, None, post, ["tir.Allocate"]))


def place_buffers(buffers: Any, _pressure: Any) -> dict[Any, Any]:
    """Place all buffers of USMP. Returns the pool and offset of each.

    Raises BudgetError if the buffers do not fit the pools, NoPlanError if they exceed the budget.
    """
    planned, options, on_placed = getattr(_STATE, "pending", (None, RelayOptions(), None))
    _STATE.pending = (None, RelayOptions(), None)
    everything = list(buffers)
    constants = [b for b in everything if _is_constant(b)]
    workspace = [b for b in everything if not _is_constant(b)]
    placed: dict[str, tuple[Any, int]] = {}
    placed.update(_stack(constants))
    method, bound = "none", 0
    if workspace:
        found, method, bound = _place_workspace(workspace, options, planned)
        placed.update(found)
    report = _report(everything, placed, method, bound)
    _require_budget(report, workspace, planned)
    if on_placed is not None:
        on_placed(report, {b.name_hint: int(b.size_bytes) for b in workspace})
    return {b: PoolAllocation(placed[b.name_hint][0], placed[b.name_hint][1]) for b in everything}


def _is_constant(buffer: Any) -> bool:
    return type(buffer.pool_candidates[0]).__name__ == "ConstantPoolInfo"


def _capacity(pool: Any) -> int | None:
    hint = int(pool.size_hint_bytes)
    return hint if hint > 0 else None


def _stack(constants: Sequence[Any]) -> dict[str, tuple[Any, int]]:
    """Constants one after another, in the first of their pools that has room."""
    ends: dict[str, int] = {}
    placed = {}
    for buffer in sorted(constants, key=lambda b: (-int(b.size_bytes), b.name_hint)):
        for pool in buffer.pool_candidates:
            offset = align_up(ends.get(pool.pool_name, 0), int(buffer.alignment))
            capacity, end = _capacity(pool), offset + int(buffer.size_bytes)
            if capacity is None or end <= capacity:
                ends[pool.pool_name] = end
                placed[buffer.name_hint] = (pool, offset)
                break
        else:
            raise BudgetError(_does_not_fit(buffer, "constant"))
    return placed


def _does_not_fit(buffer: Any, what: str) -> str:
    pools = ", ".join(f"{p.pool_name} ({_capacity(p) or 'unlimited'} bytes)" for p in buffer.pool_candidates)
    return (
        f"the {what} {buffer.name_hint} of {int(buffer.size_bytes)} bytes fits none of its pools {pools}: "
        "give a larger pool or a smaller model"
    )


def _place_workspace(
    buffers: Sequence[Any], options: RelayOptions, planned: RelayPlan | None
) -> tuple[dict[str, tuple[Any, int]], str, int]:
    blocks = _blocks(buffers)
    pools = {p.pool_name: p for b in buffers for p in b.pool_candidates}
    first = buffers[0].pool_candidates[0]
    common = all(b.pool_candidates[0].pool_name == first.pool_name for b in buffers)
    deadline = Deadline(options.time_limit)
    offsets, method, bound = _place_single(buffers, blocks, options, deadline, planned)
    capacity = _capacity(first)
    if common and (capacity is None or blocks.arena(offsets) <= capacity):
        return {b.name_hint: (first, o) for b, o in zip(buffers, offsets, strict=True)}, method, bound
    names = list(pools)
    candidates = [[names.index(p.pool_name) for p in b.pool_candidates] for b in buffers]
    found = place_in_pools(blocks, candidates, [_capacity(pools[name]) for name in names])
    if found is None:
        sizes = ", ".join(f"{n} of {_capacity(pools[n]) or 'unlimited'} bytes" for n in names)
        raise BudgetError(
            f"the workspace does not fit the pools {sizes}: one pool alone would need {blocks.arena(offsets)} bytes; "
            "give larger pools or a budget"
        )
    return {b.name_hint: (pools[names[p]], o) for b, (p, o) in zip(buffers, found, strict=True)}, "pools", bound


def _blocks(buffers: Sequence[Any]) -> ConflictBlocks:
    index = {b.name_hint: i for i, b in enumerate(buffers)}
    conflicts: list[set[int]] = [set() for _ in buffers]
    for i, buffer in enumerate(buffers):
        for other in buffer.conflicts:
            j = index.get(other.name_hint)
            if j is not None and j != i:
                conflicts[i].add(j)
                conflicts[j].add(i)
    return ConflictBlocks(
        tuple(int(b.size_bytes) for b in buffers),
        tuple(int(b.alignment) for b in buffers),
        tuple(tuple(sorted(c)) for c in conflicts),
    )


def _place_single(
    buffers: Sequence[Any],
    blocks: ConflictBlocks,
    options: RelayOptions,
    deadline: Deadline,
    planned: RelayPlan | None,
) -> tuple[list[int], str, int]:
    """Offsets in one pool without a limit: the plan's own, or better ones of the search or of TVM's algorithms.

    The search runs with the buffers merged that share an address in the plan, and without.
    """
    names = buffer_tensors({b.name_hint: int(b.size_bytes) for b in buffers}, planned) if planned else None
    merges = merged_buffers(names, planned) if names is not None and planned is not None else []
    index = {b.name_hint: i for i, b in enumerate(buffers)}
    own = _planned_offsets(buffers, names, planned)
    threads = options.request(planned.extraction.graph).threads if planned else 1
    attempts = [[(index[s], index[t]) for s, t in merges], []] if merges else [[]]
    offsets, method, bound = None, "plan", 0
    for number, pairs in enumerate(attempts):
        grouped = merged_blocks(blocks, pairs)
        starts = [own] if own is not None and grouped.is_valid(own) else []
        share = deadline.within(deadline.remaining / (len(attempts) - number))
        placed, low = place_conflicts(grouped, share, seed=options.seed, threads=threads, starts=starts)
        bound = low if number == 0 else min(low, bound)
        if offsets is None or blocks.arena(placed) < blocks.arena(offsets):
            offsets, method = placed, "plan" if own == placed else "conflicts"
    assert offsets is not None
    if blocks.arena(offsets) > bound:
        for name in _RIVALS:
            theirs = _rival_offsets(buffers, name)
            if not blocks.overlaps(theirs) and blocks.arena(theirs) < blocks.arena(offsets):
                offsets, method = theirs, name
    return offsets, method, bound


def _rival_offsets(buffers: Sequence[Any], name: str) -> list[int]:
    pressure = sum(int(b.size_bytes) for b in buffers)
    result = tvm.get_global_func(f"tir.usmp.algo.{name}")(list(buffers), pressure)
    offsets = {buffer.name_hint: int(place.byte_offset) for buffer, place in result.items()}
    return [offsets[b.name_hint] for b in buffers]


def _planned_offsets(
    buffers: Sequence[Any], names: Mapping[str, list[tuple[int, int]]] | None, planned: RelayPlan | None
) -> list[int] | None:
    """The plan's offset of each buffer, or None where the scratch of a shared kernel has several."""
    if planned is None or names is None:
        return None
    instances = _instances(planned, names)
    return None if instances is None else [instances[b.name_hint] for b in buffers]


def _instances(planned: RelayPlan, names: Mapping[str, list[tuple[int, int]]]) -> dict[str, int] | None:
    """One offset for each USMP buffer from the allocations of its (tensor, run) pairs."""
    runs: dict[int, list[Allocation]] = {}
    for allocation in planned.plan.allocations:
        if allocation.tensor is not None:
            runs.setdefault(allocation.tensor, []).append(allocation)
    offsets = {}
    for name, members in names.items():
        found = {runs[tensor][run].offset for tensor, run in members}
        if len(found) != 1:
            return None
        offsets[name] = found.pop()
    return offsets


def _report(buffers: Sequence[Any], placed: Mapping[str, tuple[Any, int]], method: str, bound: int) -> PoolReport:
    pools: dict[str, int] = {}
    places = {}
    for buffer in buffers:
        pool, offset = placed[buffer.name_hint]
        pools[pool.pool_name] = max(pools.get(pool.pool_name, 0), offset + int(buffer.size_bytes))
        places[buffer.name_hint] = (str(pool.pool_name), offset)
    return PoolReport(pools, places, method, bound)


def _require_budget(report: PoolReport, workspace: Sequence[Any], planned: RelayPlan | None) -> None:
    budget = planned.plan.budget_nbytes if planned else None
    used = sum(report.pools[name] for name in {report.places[b.name_hint][0] for b in workspace})
    if budget is not None and used > budget:
        raise NoPlanError(
            f"no placement within the budget of {budget} bytes was found in the time limit: the workspace pools have "
            f"{used} bytes; kernels that several calls share keep their scratch at one address"
        )

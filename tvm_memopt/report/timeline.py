"""The data behind every chart: a checked plan as blocks on the address map, bands of live bytes, and steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from tvm_memopt.graph import Allocation, Graph, Plan, check, given_order, live_profile
from tvm_memopt.report.colours import assign_colours
from tvm_memopt.report.moves import moved_ops
from tvm_memopt.report.units import printable


@dataclass(frozen=True, slots=True)
class Block:
    """One allocation on the address map (steps × bytes).

    ``producer``: the op that creates it; None for an arena input.
    ``reads``: the steps that read this instance.
    ``run``: number of earlier instances of the same tensor; 0 if it is not a repeat.
    """

    allocation: Allocation
    label: str
    kind: str
    producer: int | None
    reads: tuple[int, ...]
    run: int
    returned: bool
    colour: int

    @property
    def area(self) -> int:
        """Bytes × steps. Charts name the blocks of largest area first."""
        return self.allocation.nbytes * (self.allocation.last - self.allocation.first + 1)


@dataclass(frozen=True, slots=True)
class Band:
    """Position of a block in the stack of live bytes, from step ``first`` to ``last`` inclusive.

    Blocks are stacked in address order. Bytes shared by an in-place pair count once, so the ``height`` of the upper
    block of a pair can be less than its size.
    """

    block: int
    first: int
    last: int
    bottom: int
    height: int


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the schedule. ``moved``: not in the given order. ``run`` > 0: recomputed."""

    index: int
    op: int
    name: str
    cost: float
    live_nbytes: int
    moved: bool
    run: int


@dataclass(frozen=True, slots=True)
class Holder:
    """One block live at the peak step. ``share`` and ``cumulative`` are fractions of the peak.

    ``in_use``: whether the op at the peak step reads or writes it.
    ``remat_cost``: cost of one more run of its producer; None if the block cannot be dropped over the peak.
    """

    block: int
    held_nbytes: int
    share: float
    cumulative: float
    in_use: bool
    last_use: int | None
    remat_cost: float | None


@dataclass(frozen=True)
class Timeline:
    """A valid plan, ready to draw. ``live``, ``given_live``: live bytes per step, in its order and in the given one."""

    graph: Graph
    plan: Plan
    blocks: tuple[Block, ...]
    bands: tuple[Band, ...]
    steps: tuple[Step, ...]
    live: tuple[int, ...]
    given_live: tuple[int, ...]

    @property
    def peak_step(self) -> int | None:
        """The first step with the most live bytes; None for an empty schedule."""
        return self.live.index(max(self.live)) if self.live else None

    @property
    def given_peak_nbytes(self) -> int:
        """Peak memory of the graph's given order."""
        return max(self.given_live, default=0)

    @property
    def fragmentation_nbytes(self) -> int:
        """Arena bytes that are unused even at the peak."""
        return self.plan.arena_nbytes - self.plan.peak_live_nbytes

    @cached_property
    def holders(self) -> tuple[Holder, ...]:
        """The blocks live at the peak, largest first."""
        return tuple(_holders(self)) if self.live else ()


def build_timeline(graph: Graph, plan: Plan) -> Timeline:
    """Check ``plan`` and lay it out for drawing. Raises PlanError if the plan is not valid."""
    check(graph, plan)
    count = len(plan.schedule)
    bands = stack_bands(plan.allocations, count)
    live = [0] * count
    for band in bands:
        for step in range(band.first, band.last + 1):
            live[step] += band.height
    return Timeline(
        graph=graph,
        plan=plan,
        blocks=tuple(_blocks(graph, plan)),
        bands=tuple(bands),
        steps=tuple(_steps(graph, plan, live)),
        live=tuple(live),
        given_live=tuple(live_profile(graph, given_order(graph))),
    )


def stack_bands(allocations: Iterable[Allocation], steps: int) -> list[Band]:
    """The address map with its holes removed, as bands of maximal runs of steps. O(steps · live)."""
    opening: dict[int, list[tuple[int, int, Allocation]]] = {}
    for index, allocation in enumerate(allocations):
        opening.setdefault(allocation.first, []).append((allocation.offset, index, allocation))
    bands: list[Band] = []
    current: dict[int, tuple[int, int, int]] = {}  # block: (since, bottom, height)
    live: list[tuple[int, int, Allocation]] = []
    for step in range(steps + 1):
        live = [entry for entry in live if entry[2].last >= step] + opening.get(step, [])
        placed = _stack(sorted(live, key=lambda entry: entry[:2]))
        for block in [b for b, (_, *place) in current.items() if placed.get(b) != tuple(place)]:
            since, bottom, height = current.pop(block)
            bands.append(Band(block, since, step - 1, bottom, height))
        for block, place in placed.items():
            current.setdefault(block, (step, *place))
    return sorted(bands, key=lambda band: (band.block, band.first))


def _stack(live: list[tuple[int, int, Allocation]]) -> dict[int, tuple[int, int]]:
    placed: dict[int, tuple[int, int]] = {}
    bottom, top_address = 0, 0
    for _, block, allocation in live:
        height = max(0, allocation.end - max(allocation.offset, top_address))
        placed[block] = (bottom, height)
        bottom, top_address = bottom + height, max(top_address, allocation.end)
    return placed


def _blocks(graph: Graph, plan: Plan) -> Iterable[Block]:
    reads, runs = _reads_and_runs(graph, plan)
    final = len(plan.schedule) - 1
    colours = assign_colours(plan.allocations)
    for index, allocation in enumerate(plan.allocations):
        tensor, op = allocation.tensor, plan.schedule[allocation.first]
        if tensor is None:
            name, kind, producer = f"workspace of {graph.ops[op].name}", "workspace", op
        else:
            name, kind = graph.tensors[tensor].name or f"tensor {tensor}", str(graph.tensors[tensor].kind)
            producer = graph.producer[tensor]
        yield Block(
            allocation=allocation,
            label=printable(name) + (f" (run {runs[index] + 1})" if runs[index] else ""),
            kind=kind,
            producer=producer if producer >= 0 else None,
            reads=tuple(reads[index]),
            run=runs[index],
            returned=tensor in graph.returned and allocation.last == final,
            colour=colours[index],
        )


def _reads_and_runs(graph: Graph, plan: Plan) -> tuple[list[list[int]], list[int]]:
    """For each allocation: the steps that read it, and the number of earlier instances of its tensor."""
    reads: list[list[int]] = [[] for _ in plan.allocations]
    runs = [0] * len(plan.allocations)
    opening: dict[int, list[int]] = {}
    newest: dict[int, int] = {}
    seen: dict[int, int] = {}
    for index, a in enumerate(plan.allocations):
        if a.tensor is None:
            continue
        if graph.tensors[a.tensor].kind == "activation":
            opening.setdefault(a.first, []).append(index)
        else:
            newest[a.tensor] = index
    for step, op in enumerate(plan.schedule):
        for tensor in graph.reads[op]:
            reads[newest[tensor]].append(step)
        for index in opening.get(step, ()):
            tensor = plan.allocations[index].tensor or 0
            newest[tensor], runs[index] = index, seen.get(tensor, 0)
            seen[tensor] = runs[index] + 1
    return reads, runs


def _steps(graph: Graph, plan: Plan, live: list[int]) -> Iterable[Step]:
    moved = moved_ops(plan.schedule)
    runs = [0] * len(graph.ops)
    for index, op in enumerate(plan.schedule):
        name = printable(graph.ops[op].name) or f"op {op}"
        yield Step(index, op, name, graph.ops[op].cost, live[index], op in moved and not runs[op], runs[op])
        runs[op] += 1


def _holders(timeline: Timeline) -> Iterable[Holder]:
    peak = timeline.peak_step or 0
    total = timeline.live[peak]
    held = {b.block: b.height for b in timeline.bands if b.first <= peak <= b.last}
    sizes = [(timeline.blocks[block].allocation.nbytes, block) for block in held]
    cumulative = 0
    for _, block_id in sorted(sizes, key=lambda pair: (-pair[0], -held[pair[1]], pair[1])):
        block = timeline.blocks[block_id]
        cumulative += held[block_id]
        in_use = peak in block.reads or block.allocation.first == peak
        yield Holder(
            block=block_id,
            held_nbytes=held[block_id],
            share=held[block_id] / total if total else 0.0,
            cumulative=cumulative / total if total else 0.0,
            in_use=in_use,
            last_use=block.reads[-1] if block.reads else None,
            remat_cost=None if in_use else _remat_cost(timeline.graph, block),
        )


def _remat_cost(graph: Graph, block: Block) -> float | None:
    if block.producer is None or not graph.ops[block.producer].recomputable:
        return None
    return graph.ops[block.producer].cost

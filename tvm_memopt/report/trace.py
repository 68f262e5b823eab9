"""Export of the plan as a trace for Perfetto and chrome://tracing: ops, buffers in lanes, and memory counters.

Trace viewers draw overlapping events on one track wrongly. Each buffer is therefore assigned to a lane whose
buffers never overlap in time. Lanes are in address order.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from itertools import accumulate, pairwise

from tvm_memopt.atomic import write_text_atomic
from tvm_memopt.graph import Graph, Plan
from tvm_memopt.report.timeline import Timeline, build_timeline

_OPS, _ARENA = 1, 2
_LONGEST = 10**15  # length of the axis in nanoseconds; viewers store times in 64 bits


def write_trace(graph: Graph, plan: Plan, path: str | os.PathLike[str]) -> None:
    """Write the Chrome JSON trace atomically. Raises PlanError, or MemoptError if it cannot be written."""
    write_text_atomic(path, trace_json(graph, plan))


def trace_json(graph: Graph, plan: Plan) -> str:
    """The trace. Its time axis is the running sum of op costs; ops without a cost take one unit. Raises PlanError."""
    timeline = build_timeline(graph, plan)
    starts, unit = step_starts(timeline)
    events = [*_names(timeline), *_op_events(timeline, starts), *_buffer_events(timeline, starts)]
    events += _counter_events(timeline, starts)
    about = {"graph": plan.graph, "time axis": unit, "arena_nbytes": plan.arena_nbytes}
    return json.dumps({"displayTimeUnit": "ns", "otherData": about, "traceEvents": events}) + "\n"


def lanes(timeline: Timeline) -> list[int]:
    """For each block, the lowest lane that is free at all its steps; blocks are assigned in address order."""
    busy: list[list[tuple[int, int]]] = []
    found = [0] * len(timeline.blocks)
    order = sorted(range(len(found)), key=lambda i: _by_address(timeline, i))
    for index in order:
        a = timeline.blocks[index].allocation
        free = (n for n, spans in enumerate(busy) if all(a.last < first or last < a.first for first, last in spans))
        lane = next(free, len(busy))
        if lane == len(busy):
            busy.append([])
        busy[lane].append((a.first, a.last))
        found[index] = lane
    return found


def step_starts(timeline: Timeline) -> tuple[list[int], str]:
    """The start of every step and the end of the last, in whole nanoseconds, and the meaning of a nanosecond."""
    costs = [step.cost for step in timeline.steps]
    total = sum(costs)
    if not total:
        return list(accumulate((1000 for _ in costs), initial=0)), "every step takes 1 µs: the graph has no costs"
    scale = min(1e9, _LONGEST / total)
    unit = "op cost in seconds" if scale == 1e9 else f"op cost, scaled: 1 ns is {1 / scale:.6g} units of cost"
    return list(accumulate((max(1, round(cost * scale)) for cost in costs), initial=0)), unit


def _by_address(timeline: Timeline, index: int) -> tuple[int, int, int]:
    allocation = timeline.blocks[index].allocation
    return allocation.offset, allocation.first, index


def _names(timeline: Timeline) -> Iterator[dict[str, object]]:
    for process, name in ((_OPS, "schedule"), (_ARENA, "arena, lanes in address order")):
        yield {"ph": "M", "pid": process, "name": "process_name", "args": {"name": name}}
        yield {"ph": "M", "pid": process, "name": "process_sort_index", "args": {"sort_index": process}}
    yield {"ph": "M", "pid": _OPS, "tid": 1, "name": "thread_name", "args": {"name": "ops"}}
    for lane in range(max(lanes(timeline), default=-1) + 1):
        yield {"ph": "M", "pid": _ARENA, "tid": lane + 1, "name": "thread_name", "args": {"name": f"lane {lane}"}}
        yield {"ph": "M", "pid": _ARENA, "tid": lane + 1, "name": "thread_sort_index", "args": {"sort_index": lane}}


def _op_events(timeline: Timeline, starts: list[int]) -> Iterator[dict[str, object]]:
    for step, (start, end) in zip(timeline.steps, pairwise(starts), strict=True):
        args = {"step": step.index, "op": step.op, "cost": step.cost, "live_nbytes": step.live_nbytes}
        args |= {"moved": step.moved, "run": step.run + 1}
        yield _slice((_OPS, 1), step.name, (start, end), args)


def _buffer_events(timeline: Timeline, starts: list[int]) -> Iterator[dict[str, object]]:
    for block, lane in zip(timeline.blocks, lanes(timeline), strict=True):
        a = block.allocation
        args = {"nbytes": a.nbytes, "offset": a.offset, "first": a.first, "last": a.last, "kind": block.kind}
        if block.producer is not None:
            args["producer"] = timeline.graph.ops[block.producer].name
        args["reads"] = list(block.reads)
        yield _slice((_ARENA, lane + 1), block.label, (starts[a.first], starts[a.last + 1]), args)


def _counter_events(timeline: Timeline, starts: list[int]) -> Iterator[dict[str, object]]:
    tops = [0] * len(timeline.steps)
    for block in timeline.blocks:
        for step in range(block.allocation.first, block.allocation.last + 1):
            tops[step] = max(tops[step], block.allocation.end)
    for name, values in (("live bytes", timeline.live), ("arena top", tops)):
        for start, value in zip(starts, (*values, 0), strict=True):
            yield {"ph": "C", "pid": _ARENA, "name": name, "ts": start / 1000, "args": {"bytes": value}}


def _slice(track: tuple[int, int], name: str, span: tuple[int, int], args: Mapping[str, object]) -> dict[str, object]:
    times = {"ts": span[0] / 1000, "dur": (span[1] - span[0]) / 1000}  # the format uses microseconds
    return {"ph": "X", "pid": track[0], "tid": track[1], "name": name, **times, "args": args}

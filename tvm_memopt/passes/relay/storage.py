"""Storage ids of the graph executor, assigned for least memory.

The graph executor knows no offsets. Each of its storages is as large as the largest tensor that ever lies in it, so the
best assignment is a packing into bins, which can need more memory than an arena.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import tvm
from tvm.relay.backend.executor_factory import GraphExecutorFactoryModule

from tvm_memopt.solvers import Deadline
from tvm_memopt.solvers.layout.bins import assign_bins, bins_nbytes
from tvm_memopt.solvers.layout.conflicts import ConflictBlocks


@dataclass(frozen=True)
class StorageReport:
    """Bytes of the graph executor's storages, without inputs and parameters.

    ``given_nbytes``: as TVM assigned them. ``nbytes``: as assigned now. ``bound_nbytes``: proved least of any
    assignment for this order. ``peak_nbytes``: the most bytes that are alive at once, which an arena could reach.
    """

    given_nbytes: int
    nbytes: int
    bound_nbytes: int
    peak_nbytes: int


@dataclass
class _Tensors:
    """Tensors that share storage: an entry and the reshapes of it. ``first``, ``last``: executed nodes."""

    entries: list[int]
    nbytes: int
    first: int
    last: int
    fixed: bool


def assign_storage(
    factory: Any, *, time_limit: float = 10.0, seed: int = 0, threads: int = 1
) -> tuple[Any, StorageReport]:
    """A graph executor factory with new storage ids, and what they need. The kernels stay the same.

    ``factory``: what ``relay.build`` returned for the graph executor. Never more memory than TVM's own assignment.
    """
    graph = json.loads(factory.get_graph_json())
    tensors = _tensors(graph)
    movable = [t for t in tensors if not t.fixed]
    ids = graph["attrs"]["storage_id"][1]
    blocks = ConflictBlocks.of_intervals([t.nbytes for t in movable], [(t.first, t.last) for t in movable])
    start = [ids[t.entries[0]] for t in movable]
    bins, bound = assign_bins(blocks, Deadline(time_limit), seed=seed, threads=threads, start=start)
    fixed = {ids[e] for t in tensors if t.fixed for e in t.entries}
    if fixed & set(start):  # TVM shares none of them: without that, keep its ids
        bins = start
    else:
        _write(ids, tensors, movable, bins)
    report = StorageReport(bins_nbytes(blocks, start), bins_nbytes(blocks, bins), bound, _peak(movable))
    changed = GraphExecutorFactoryModule(
        factory.ir_mod,
        factory.target,
        factory.executor,
        json.dumps(graph),
        factory.lib,
        factory.libmod_name,
        factory.params,
        factory.function_metadata,
    )
    return changed, report


def stated_nbytes(factory: Any) -> int:
    """Bytes of the storages of a graph executor factory, without inputs and parameters."""
    graph = json.loads(factory.get_graph_json())
    ids = graph["attrs"]["storage_id"][1]
    largest: dict[int, int] = {}
    for tensors in _tensors(graph):
        if not tensors.fixed:
            number = ids[tensors.entries[0]]
            largest[number] = max(largest.get(number, 0), tensors.nbytes)
    return sum(largest.values())


def _tensors(graph: dict[str, Any]) -> list[_Tensors]:
    nodes, pointer = graph["nodes"], graph["node_row_ptr"]
    shapes, types = graph["attrs"]["shape"][1], graph["attrs"]["dltype"][1]
    group: dict[int, _Tensors] = {}
    end = len(nodes)
    for number, node in enumerate(nodes):
        used = [pointer[i[0]] + i[1] for i in node["inputs"]]
        for entry in used:
            group[entry].last = max(group[entry].last, number)
        for entry in range(pointer[number], pointer[number + 1]):
            nbytes = _nbytes(shapes[entry], types[entry])
            if node.get("attrs", {}).get("func_name") == "__nop":
                group[entry] = group[used[0]]
                group[entry].entries.append(entry)
                group[entry].nbytes = max(group[entry].nbytes, nbytes)
            else:
                group[entry] = _Tensors([entry], nbytes, number, number, node["op"] == "null")
    for head in graph["heads"]:
        group[pointer[head[0]] + head[1]].last = end
    return list({id(t): t for t in group.values()}.values())


def _nbytes(shape: list[int], dtype: str) -> int:
    kind = tvm.DataType(dtype)
    return int(math.prod(shape) * ((kind.bits * kind.lanes + 7) // 8))


def _peak(tensors: list[_Tensors]) -> int:
    last = max((t.last for t in tensors), default=0)
    change = [0] * (last + 2)
    for t in tensors:
        change[t.first] += t.nbytes
        change[t.last + 1] -= t.nbytes
    peak = held = 0
    for step in change:
        held += step
        peak = max(peak, held)
    return peak


def _write(ids: list[int], tensors: list[_Tensors], movable: list[_Tensors], bins: list[int]) -> None:
    """Number the storages from 0: first those of inputs and parameters, then the bins."""
    number: dict[Any, int] = {}
    for t in tensors:
        if t.fixed:
            for entry in t.entries:
                ids[entry] = number.setdefault(("fixed", ids[entry]), len(number))
    for t, chosen in zip(movable, bins, strict=True):
        for entry in t.entries:
            ids[entry] = number.setdefault(("bin", chosen), len(number))

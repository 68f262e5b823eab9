"""A chain whose ends both want one cheap, large tensor: 120 bytes in the given order, 75 with it run twice."""

from __future__ import annotations

from dataclasses import replace

from tvm_memopt.graph import Graph, Op, Tensor


def long_skip() -> Graph:
    names = ("big", "a", "b", "c", "end")
    sizes = (50, 10, 60, 10, 5)
    ops = (
        Op("big", (), (0,), 1.0),
        Op("a", (0,), (1,), 5.0),
        Op("b", (1,), (2,), 5.0),
        Op("c", (2,), (3,), 5.0),
        Op("end", (0, 3), (4,), 5.0),
    )
    return Graph("long-skip", tuple(map(Tensor, names, sizes)), ops, (4,))


def fixed_long_skip() -> Graph:
    """The same, but that tensor can only be computed once: nothing below 120 bytes."""
    graph = long_skip()
    return replace(graph, ops=(replace(graph.ops[0], recomputable=False), *graph.ops[1:]))

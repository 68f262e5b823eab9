"""The graph with sizes rounded up, as they count in an aligned arena."""

from __future__ import annotations

from dataclasses import replace

from tvm_memopt.graph import Graph, align_up


def aligned_graph(graph: Graph) -> Graph:
    """``graph`` with all sizes rounded up to its alignment, and an alignment of 1."""
    unit = graph.alignment
    tensors = tuple(replace(tensor, nbytes=align_up(tensor.nbytes, unit)) for tensor in graph.tensors)
    ops = tuple(replace(op, workspace=align_up(op.workspace, unit)) for op in graph.ops)
    return replace(graph, tensors=tensors, ops=ops, alignment=1)


def largest_padding(graph: Graph) -> int:
    """Most bytes by which an arena can be smaller than the rounded sizes it holds: the topmost buffer is not padded."""
    sizes = [t.nbytes for t, planned in zip(graph.tensors, graph.planned, strict=True) if planned]
    sizes += [op.workspace for op in graph.ops]
    return max((-size % graph.alignment for size in sizes), default=0)

"""Bytes of a program beside its arena."""

from __future__ import annotations

from tvm_memopt.graph.model import Graph


def io_nbytes(graph: Graph) -> int:
    """Bytes of the inputs, the returned tensors and all else outside the arena, weights and views apart."""
    return sum(t.nbytes for t in graph.tensors if not t.arena and t.alias_of is None and t.kind != "weight")


def weight_nbytes(graph: Graph) -> int:
    """Bytes of the weights outside the arena."""
    return sum(t.nbytes for t in graph.tensors if not t.arena and t.alias_of is None and t.kind == "weight")

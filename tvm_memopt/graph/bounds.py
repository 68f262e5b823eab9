"""Lower bounds on the arena size, valid for every plan: any order, any rematerialisation, any placement."""

from __future__ import annotations

from collections.abc import Sequence

from tvm_memopt.graph.liveness import best_sharing
from tvm_memopt.graph.model import Graph


def align_up(nbytes: int, alignment: int) -> int:
    """Round ``nbytes`` up to a multiple of ``alignment``."""
    return -(-nbytes // alignment) * alignment


def packed_nbytes(sizes: Sequence[int], alignment: int) -> int:
    """Size in bytes of the smallest arena that holds ``sizes`` at once at aligned offsets.

    Every buffer except the topmost is padded to the alignment.
    """
    slack = [align_up(size, alignment) - size for size in sizes]
    return sum(sizes) + sum(slack) - max(slack, default=0)


def working_set(graph: Graph, op_id: int) -> int:
    """Size in bytes of the smallest arena that holds what the op needs at once: inputs, outputs and workspace.

    This is a lower bound for every schedule. An in-place pair counts as shared if at least one schedule lets
    its input die in this op. It takes the aligned size of the union of the two tensors, in their best places.
    """
    op = graph.ops[op_id]
    tensors = {*graph.reads[op_id], *graph.writes[op_id]}
    sizes = [graph.tensors[t].nbytes for t in tensors] + ([op.workspace] if op.workspace else [])
    pairs = [pair for pair in graph.sharing[op_id] if _may_die(graph, pair.source)]
    packed = packed_nbytes(sizes, graph.alignment)
    if not pairs:
        return packed
    exact = sum(sizes) - best_sharing([(p.source, p.target, p.weight) for p in pairs])
    padded = [(p.source, p.target, align_up(p.weight, graph.alignment)) for p in pairs]
    return max(exact, packed - best_sharing(padded))


def _may_die(graph: Graph, tensor: int) -> bool:
    """Whether some instance of ``tensor`` can die before the program ends."""
    producer = graph.producer[tensor]
    return tensor not in graph.returned or (producer >= 0 and graph.ops[producer].recomputable)


def working_set_bound(graph: Graph) -> tuple[int, int | None]:
    """Return (bytes, op) of the largest working set, a lower bound on the arena of every plan. O(edges).

    The op is None if the returned tensors, all live at the last step, or the arena inputs, all live at the
    first step, need more bytes than any op.
    """
    best: tuple[int, int | None] = (0, None)
    for op_id in range(len(graph.ops)):
        nbytes = working_set(graph, op_id)
        if nbytes > best[0]:
            best = (nbytes, op_id)
    inputs = [t for t, tensor in enumerate(graph.tensors) if tensor.kind != "activation" and graph.planned[t]]
    for group in (inputs, sorted(graph.returned)) if graph.ops else ():
        nbytes = packed_nbytes([graph.tensors[t].nbytes for t in group], graph.alignment)
        if nbytes > best[0]:
            best = (nbytes, None)
    return best

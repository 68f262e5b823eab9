"""Lower bounds on the arena that hold for every plan: any order, any recomputation, any placement."""

from __future__ import annotations

from collections.abc import Sequence

from tvm_memopt.graph.liveness import best_sharing
from tvm_memopt.graph.model import Graph


def align_up(nbytes: int, alignment: int) -> int:
    """The least multiple of ``alignment`` that is at least ``nbytes``."""
    return -(-nbytes // alignment) * alignment


def packed_nbytes(sizes: Sequence[int], alignment: int) -> int:
    """Least arena that holds ``sizes`` at once at aligned offsets: all but the topmost are padded."""
    slack = [align_up(size, alignment) - size for size in sizes]
    return sum(sizes) + sum(slack) - max(slack, default=0)


def working_set(graph: Graph, op_id: int) -> int:
    """Least arena for what the op needs at once: planned inputs, outputs and workspace.

    A valid lower bound in every schedule: an in-place pair counts as shared whenever some schedule lets
    its input die there. Padding: a pair at one offset fills the aligned size of its larger half.
    """
    op = graph.ops[op_id]
    tensors = {*graph.reads[op_id], *graph.writes[op_id]}
    sizes = [graph.tensors[t].nbytes for t in tensors] + ([op.workspace] if op.workspace else [])
    roots = dict.fromkeys((graph.root[source], target) for source, target in op.inplace)
    pairs = [(s, t) for s, t in roots if graph.planned[s] and graph.planned[t] and _may_die(graph, s)]
    packed = packed_nbytes(sizes, graph.alignment)
    if not pairs:
        return packed
    exact = sum(sizes) - best_sharing([(s, t, _shared(graph, s, t, 1)) for s, t in pairs])
    return max(exact, packed - best_sharing([(s, t, _shared(graph, s, t, graph.alignment)) for s, t in pairs]))


def _may_die(graph: Graph, tensor: int) -> bool:
    """Whether some instance of ``tensor`` can end before the program does."""
    producer = graph.producer[tensor]
    return tensor not in graph.returned or (producer >= 0 and graph.ops[producer].recomputable)


def _shared(graph: Graph, source: int, target: int, alignment: int) -> int:
    return align_up(min(graph.tensors[source].nbytes, graph.tensors[target].nbytes), alignment)


def working_set_bound(graph: Graph) -> tuple[int, int | None]:
    """(bytes, op) of the largest working set: no arena is smaller. O(edges).

    The op is None where the returned tensors or the arena inputs, held together at the last and the
    first step, weigh more than any op.
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

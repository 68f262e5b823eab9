"""The graph of a scheduled function at the level of kernel statements, as TVM's static memory planner sees it.

Each run of a call becomes one op for each top-level statement of its kernel, and each scratch buffer becomes a tensor.
The statements of a kernel cannot be interleaved with those of another, so this graph serves to place and check the
buffers of a schedule, not to search for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tvm_memopt.graph import Graph, Op, Tensor
from tvm_memopt.passes.relay.extract import RelayExtraction
from tvm_memopt.passes.relay.kernels import NEVER, KernelFacts


@dataclass(frozen=True)
class StageGraph:
    """A graph of statements, and the order of its ops that ``schedule`` expands to.

    ``scratch_of``: by op id of the function, the tensors of its kernel's scratch buffers. The ids of the function's own
    tensors are those of its graph.
    """

    graph: Graph
    schedule: tuple[int, ...]
    scratch_of: dict[int, tuple[int, ...]]


def stage_graph(extraction: RelayExtraction, schedule: Sequence[int]) -> StageGraph:
    """Expand every call of ``schedule``, which may repeat calls, into its statements."""
    graph = extraction.graph
    tensors: list[Tensor] = list(graph.tensors)
    ops: list[Op] = []
    stages: dict[int, list[int]] = {}
    scratch_of: dict[int, tuple[int, ...]] = {}
    for op_id, op in enumerate(graph.ops):
        facts = extraction.facts[op_id]
        positions = [extraction.tensor_of[v.key] for v in extraction.program.calls[op_id].inputs]
        if facts is None or len(positions) + len(op.outputs) != len(facts.spans):
            stages[op_id] = [len(ops)]
            ops.append(Op(op.name, op.inputs, op.outputs, op.cost, op.workspace, op.recomputable))
            continue
        scratch_of[op_id] = tuple(range(len(tensors), len(tensors) + len(facts.scratch)))
        tensors += [Tensor(f"{op.name}.{s.name}", s.nbytes) for s in facts.scratch]
        added = _statements(op, facts, positions, scratch_of[op_id], tensors)
        stages[op_id] = list(range(len(ops), len(ops) + len(added)))
        ops += added
    expanded = Graph(graph.name, tuple(tensors), tuple(ops), graph.outputs, graph.alignment)
    return StageGraph(expanded, tuple(s for op_id in schedule for s in stages[op_id]), scratch_of)


def _statements(
    op: Op,
    facts: KernelFacts,
    inputs: Sequence[int],
    scratch: Sequence[int],
    tensors: list[Tensor],
) -> list[Op]:
    """One op for each statement. A tensor of no bytes orders it after the statement before."""
    whole = (0, facts.statements - 1)
    written = [whole if span == NEVER else span for span in facts.spans[len(inputs) :]]
    spans = [*zip((*inputs, *op.outputs), (*facts.spans[: len(inputs)], *written), strict=True)]
    spans += [(tensor, (s.first, s.last)) for tensor, s in zip(scratch, facts.scratch, strict=True)]
    pairs = [(spans[s], spans[t]) for s, t in facts.overwrites]
    read = set(inputs)
    ops, token = [], None
    for statement in range(facts.statements):
        touched = [tensor for tensor, (first, last) in spans if first <= statement <= last]
        made = [t for t, (first, _) in spans if first == statement and t not in read]
        used = [t for t in touched if t not in made]
        if token is not None:
            used.append(token)
        if statement + 1 < facts.statements:
            token = len(tensors)
            tensors.append(Tensor(f"{op.name}.statement_{statement}", 0, arena=False))
            made.append(token)
        cost = op.cost if statement == 0 else 0.0
        shared = tuple(
            (source, target)
            for (source, (_, end)), (target, _) in pairs
            if end == statement and source in used and target in made and inputs.count(source) <= 1
        )
        reads, writes = tuple(dict.fromkeys(used)), tuple(dict.fromkeys(made))
        ops.append(Op(op.name, reads, writes, cost, 0, op.recomputable, shared))
    return ops

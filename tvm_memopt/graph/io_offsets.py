"""Inputs and outputs inside the arena: which ones were asked for, and where a plan places them."""

from __future__ import annotations

from collections.abc import Iterable

from tvm_memopt.errors import MemoptError
from tvm_memopt.graph.model import Graph
from tvm_memopt.graph.plan import Plan

IO_KINDS = ("inputs", "outputs")


def parse_io_kinds(value: str | Iterable[str]) -> frozenset[str]:
    """The kinds of tensors named in ``value``, such as ``"inputs,outputs"``. Raises MemoptError for others."""
    names = value.split(",") if isinstance(value, str) else list(value)
    found = frozenset(name.strip() for name in names if name.strip())
    unknown = sorted(found - set(IO_KINDS))
    if unknown:
        raise MemoptError(
            f"io_in_arena names {', '.join(map(repr, unknown))}, expected inputs, outputs, or both separated by a comma"
        )
    return found


def io_offsets(graph: Graph, plan: Plan) -> dict[str, dict[str, int]]:
    """Offset in bytes of each input in the arena by name (``"inputs"``), and of each output (``"outputs"``).

    An input holds its value at the start of a call, up to its last read. An output holds its value from its last
    computation to the end of the call. Outputs with the name of another have their position appended.
    """
    first, last = dict[int, int](), dict[int, int]()
    for allocation in sorted(plan.allocations, key=lambda a: a.first):
        if allocation.tensor is not None:
            first.setdefault(allocation.tensor, allocation.offset)
            last[allocation.tensor] = allocation.offset
    inputs = {t.name: first[i] for i, t in enumerate(graph.tensors) if t.kind == "input" and i in first}
    outputs: dict[str, int] = {}
    for position, tensor in enumerate(graph.outputs):
        if graph.root[tensor] in last:
            name = graph.tensors[tensor].name
            outputs[f"{name}.{position}" if name in outputs else name] = last[graph.root[tensor]]
    return {"inputs": inputs, "outputs": outputs}

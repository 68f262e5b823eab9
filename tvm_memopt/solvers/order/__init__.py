"""Topological orders: constructive heuristics and the search over downsets."""

from collections.abc import Callable, Mapping

from tvm_memopt.graph import Graph, given_order
from tvm_memopt.solvers.order.beam import BeamResult, beam_search
from tvm_memopt.solvers.order.dfs import dfs
from tvm_memopt.solvers.order.greedy import greedy_delta, greedy_peak
from tvm_memopt.solvers.order.kahn import kahn
from tvm_memopt.solvers.order.live_state import LiveState, MemoryTables, memory_tables, op_effect, order_profile


def given(graph: Graph) -> tuple[int, ...]:
    """The order of the source program."""
    return given_order(graph)


ORDERINGS: Mapping[str, Callable[[Graph], tuple[int, ...]]] = {
    "given": given,
    "kahn": kahn,
    "dfs": dfs,
    "greedy-peak": greedy_peak,
    "greedy-delta": greedy_delta,
}
"""The constructive orders by name. Each runs every op once."""

__all__ = [
    "ORDERINGS",
    "BeamResult",
    "LiveState",
    "MemoryTables",
    "beam_search",
    "dfs",
    "given",
    "greedy_delta",
    "greedy_peak",
    "kahn",
    "memory_tables",
    "op_effect",
    "order_profile",
]

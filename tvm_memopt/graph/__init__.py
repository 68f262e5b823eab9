"""Input and output of the planner: Graph, Plan, liveness, lower bounds, the plan checker and the JSON formats."""

from tvm_memopt.graph.bounds import align_up, packed_nbytes, working_set, working_set_bound
from tvm_memopt.graph.budget import check_budget_syntax, parse_budget
from tvm_memopt.graph.checker import check, find_violations
from tvm_memopt.graph.footprint import io_nbytes, weight_nbytes
from tvm_memopt.graph.generators import layered_graph, random_graph
from tvm_memopt.graph.io_offsets import io_offsets
from tvm_memopt.graph.json_io import (
    graph_from_json,
    graph_to_json,
    plan_from_json,
    plan_to_json,
    read_graph,
    read_plan,
    write_graph,
    write_plan,
)
from tvm_memopt.graph.liveness import Buffer, Lifetimes, given_order, lifetimes, live_profile, peak_live
from tvm_memopt.graph.model import Graph, Op, Tensor, TensorKind
from tvm_memopt.graph.plan import Allocation, Plan, PlanStatus

__all__ = [
    "Allocation",
    "Buffer",
    "Graph",
    "Lifetimes",
    "Op",
    "Plan",
    "PlanStatus",
    "Tensor",
    "TensorKind",
    "align_up",
    "check",
    "check_budget_syntax",
    "find_violations",
    "given_order",
    "graph_from_json",
    "graph_to_json",
    "io_nbytes",
    "io_offsets",
    "layered_graph",
    "lifetimes",
    "live_profile",
    "packed_nbytes",
    "parse_budget",
    "peak_live",
    "plan_from_json",
    "plan_to_json",
    "random_graph",
    "read_graph",
    "read_plan",
    "weight_nbytes",
    "working_set",
    "working_set_bound",
    "write_graph",
    "write_plan",
]

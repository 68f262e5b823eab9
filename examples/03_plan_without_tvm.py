"""Plan your own graph, without TVM: python examples/03_plan_without_tvm.py"""

from tvm_memopt.graph import Graph, Op, Tensor, check, given_order, peak_live
from tvm_memopt.solvers import Request, solve

graph = Graph(
    name="diamond",
    tensors=(
        Tensor("x", 64, "input", arena=False),
        *(Tensor(n, s) for n, s in (("a", 40), ("b", 90), ("c", 20), ("d", 10))),
    ),
    ops=(
        Op("stem", (0,), (1,)),
        Op("wide", (1,), (2,)),
        Op("narrow", (1,), (3,)),
        Op("join", (2, 3), (4,)),
    ),
    outputs=(4,),
)
plan = solve(graph, Request(time_limit=1.0))
check(graph, plan)
print("given order", peak_live(graph, given_order(graph)), "bytes; planned", plan.arena_nbytes, plan.status)
print("schedule", [graph.ops[op].name for op in plan.schedule])

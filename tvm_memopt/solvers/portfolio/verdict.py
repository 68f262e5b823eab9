"""The explanation of a missed budget."""

from __future__ import annotations

from tvm_memopt.graph import Graph, Plan, working_set_bound


def budget_message(graph: Graph, plan: Plan) -> str:
    """Message for a plan with status "infeasible" or "unknown": the proof, or the smallest arena found."""
    if plan.status == "infeasible":
        nbytes, op_id = working_set_bound(graph)
        if plan.budget_nbytes is not None and nbytes <= plan.budget_nbytes:
            return (
                f"the budget of {plan.budget_nbytes} bytes cannot be met: a search through every schedule, "
                f"recomputation included, found none; at least {plan.lower_bound_nbytes} bytes are needed"
            )
        what = "the returned tensors or the inputs" if op_id is None else f"op {op_id} ({graph.ops[op_id].name})"
        return f"the budget of {plan.budget_nbytes} bytes cannot be met: {what} alone needs {nbytes} bytes at once"
    return (
        f"no plan within the budget of {plan.budget_nbytes} bytes was found in the time limit: the smallest arena "
        f"found has {plan.arena_nbytes} bytes; the proved lower bound is {plan.lower_bound_nbytes} bytes"
    )

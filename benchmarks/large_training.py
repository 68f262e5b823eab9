"""Large training graphs under a budget: ``python -m benchmarks.large_training [NAME ...]``.

Joint graphs traced by torch (zoo/traced_training.py), with the gradients in the arena and in the caller's memory, at
percentages of the peak of the given order. *arena / live*: overhead of placement, 1 is best. *extra %*: run time of
recomputation relative to running every op once. *least %*: proved lower bound on this for any plan within the budget.
*excluded*: the budget is below a proved lower bound. Every plan is checked.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.tables import save, table
from benchmarks.zoo.traced_training import training_graph
from tvm_memopt.graph import Graph, check, given_order, peak_live
from tvm_memopt.solvers import Request, solve

NAMES = ("decoder-32", "resnet-152", "u-net", "gpt2-48")
HOLDERS = ("caller", "arena")
BUDGETS = (70, 50, 25)
HEADER = (
    "graph", "ops", "gradients", "%", "budget", "status", "arena / budget", "arena / live", "extra %", "least %",
    "steps", "buffers", "seconds",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Plan every graph at every budget and print the table; exit status 1 where a plan is missing or too loose."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--gradients", nargs="*", choices=HOLDERS, default=HOLDERS, help="who holds them")
    parser.add_argument("--budgets", nargs="*", type=int, default=BUDGETS, help="in % of the given order's peak")
    parser.add_argument("--time-limit", type=float, default=60.0, help="seconds for each plan (default 60)")
    parser.add_argument("--trace", action="store_true", help="trace the graphs anew")
    options = parser.parse_args(arguments)
    rows = []
    for name in options.names:
        for holder in options.gradients:
            graph = training_graph(name, holder == "arena", again=options.trace and holder == options.gradients[0])
            for percent in options.budgets:
                rows.append({"gradients": holder, **planned(graph, percent, options.time_limit)})
                print(rows[-1], file=sys.stderr, flush=True)
    save("large_training", {"time_limit": options.time_limit, "rows": rows})
    print(table(HEADER, [_cells(row) for row in rows]))
    return int(any(row["missed"] for row in rows))


def planned(graph: Graph, percent: int, time_limit: float) -> dict[str, Any]:
    """The figures of one plan on two threads, which has passed the checker."""
    budget = -(-peak_live(graph, given_order(graph)) * percent // 100)
    before = time.perf_counter()
    plan = solve(graph, Request(budget, time_limit, threads=2))
    seconds = time.perf_counter() - before
    check(graph, plan)
    found = plan.status in ("optimal", "feasible")
    ratio = plan.arena_nbytes / plan.peak_live_nbytes
    return {
        "graph": graph.name,
        "ops": len(graph.ops),
        "percent": percent,
        "budget": budget,
        "status": plan.status,
        "bound": plan.lower_bound_nbytes,
        "over": plan.arena_nbytes / budget,
        "ratio": ratio,
        "extra": 100 * (plan.cost / plan.base_cost - 1) if found else None,
        "least": 100 * ((plan.cost_bound or plan.base_cost) / plan.base_cost - 1),
        "steps": len(plan.schedule),
        "buffers": len(plan.allocations),
        "seconds": seconds,
        "missed": plan.status == "unknown" or (found and ratio > 1.002 and plan.cost > plan.base_cost),
    }


def _cells(row: dict[str, Any]) -> list[Any]:
    status = "excluded" if row["status"] == "infeasible" else row["status"]
    keys = ("graph", "ops", "gradients", "percent", "budget")
    rest = ("over", "ratio", "extra", "least", "steps", "buffers", "seconds")
    return [*(row[key] for key in keys), status, *(row[key] for key in rest)]


if __name__ == "__main__":
    sys.exit(main())

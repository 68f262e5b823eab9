"""Joint search of order and offsets compared with brute force: ``python -m benchmarks.joint``.

Random graphs (seeds 0 to 199), grouped by number of ops. Code independent of the solvers computes the least arena over
all orders and placements. "closed" is the portfolio followed by improve_jointly.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.tables import save, table
from tests.solvers.joint_brute_force import least_joint_arena
from tvm_memopt.graph import Graph, Plan, lifetimes, random_graph
from tvm_memopt.solvers import Deadline, Request, solve
from tvm_memopt.solvers.joint import improve_jointly
from tvm_memopt.solvers.layout.placement import arena_of
from tvm_memopt.solvers.published.olla import solve_olla

CLASSES = ((1, 4), (5, 8), (9, 12), (13, 16))
Answer = tuple[int, bool]  # arena, whether it is proved least


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every graph, print one table by size and keep the figures as JSON."""
    options = _parse(arguments)
    rows = []
    for seed in range(options.graphs):
        graph = random_graph(1 + seed % CLASSES[-1][1], seed=seed)
        rows.append(_row(graph, seed, _methods(options)))
        print(rows[-1], file=sys.stderr, flush=True)
    save(options.out, {"seconds": options.seconds, "threads": options.threads, "rows": rows})
    print(render(rows))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=int, default=200, help="random graphs (default 200)")
    parser.add_argument("--seconds", type=float, default=10, help="time limit of each method (default 10)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", default="joint", help="benchmarks/results/NAME.json (default joint)")
    return parser.parse_args(arguments)


def _methods(options: argparse.Namespace) -> Mapping[str, Callable[[Graph], Answer]]:
    request = Request(time_limit=options.seconds, threads=options.threads)
    return {
        "portfolio": lambda graph: _judged(solve(graph, request)),
        "closed": lambda graph: _closed(graph, request),
        "OLLA joint": lambda graph: _judged(solve_olla(graph, request)),
        "OLLA two-phase": lambda graph: _judged(solve_olla(graph, request, mode="two-phase")),
        "two-phase, SCIP": lambda graph: _judged(solve_olla(graph, request, mode="two-phase", backend="scip")),
    }


def _judged(plan: Plan) -> Answer:
    return plan.arena_nbytes, plan.status == "optimal"


def _closed(graph: Graph, request: Request) -> Answer:
    plan = solve(graph, request)
    bound = plan.lower_bound_nbytes or 0
    found = improve_jointly(
        graph, plan.arena_nbytes, bound, Deadline(request.time_limit), threads=request.threads, hint_order=plan.schedule
    )
    if found.order is None or found.offsets is None:
        return plan.arena_nbytes, found.proved
    return arena_of(lifetimes(graph, found.order), list(found.offsets)), found.proved


def _row(graph: Graph, seed: int, methods: Mapping[str, Callable[[Graph], Answer]]) -> dict[str, Any]:
    started = time.perf_counter()
    least = least_joint_arena(graph)
    row: dict[str, Any] = {"seed": seed, "ops": len(graph.ops), "least": least}
    row["brute force"] = {"arena": least, "proved": True, "seconds": time.perf_counter() - started}
    for name, method in methods.items():
        started = time.perf_counter()
        arena, proved = method(graph)
        row[name] = {"arena": arena, "proved": proved, "seconds": time.perf_counter() - started}
        if arena < least or (proved and arena > least):
            raise SystemExit(f"seed {seed}: {name} says {arena}, proved: {proved}; brute force says {least}")
    return row


def render(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line for each class of sizes and method: graphs, equal to brute force, proved, mean seconds."""
    lines: list[list[Any]] = []
    for low, high in CLASSES:
        members = [row for row in rows if low <= row["ops"] <= high]
        for method in (name for name, cell in rows[0].items() if isinstance(cell, Mapping)) if members else ():
            cells = [row[method] for row in members]
            equal = sum(row[method]["arena"] == row["least"] for row in members)
            seconds = statistics.fmean(cell["seconds"] for cell in cells)
            proved = sum(cell["proved"] for cell in cells)
            lines.append([f"{low} to {high} ops", method, len(members), equal, proved, seconds])
    return table(["graphs", "method", "number", "equal", "proved", "mean s"], lines)


if __name__ == "__main__":
    sys.exit(main())

"""Rematerialisation of small graphs compared with exact solutions: ``python -m benchmarks.remat.small``.

Half the graphs are random and use every feature of the format, half are layered; they have 6 to 60 ops and fixed seeds.
The budget lies a given fraction of the way from the largest working set to the least peak of any order, so that some op
must run twice. Large graphs get large fractions, since proofs for tight budgets take too long there; the table shows
how many stay open. Ours is the search on live bytes (``search_remat``), or with ``--planner`` the whole planner, whose
budget is the arena. The exact search gets our schedule as a hint, and proves it optimal or finds a better one. Cases:
  equal       our cost is proved optimal;
  close       as equal, but proved only for schedules with at most three runs of each op;
  beaten      a cheaper schedule is known;
  missed      a schedule exists, but ours found none;
  open        nothing better is known and nothing is proved; the gap is to the proved bound;
  impossible  no schedule exists, which is proved, and ours found none.
Cases of the last two kinds are in addition to --graphs.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.tables import save, table
from tvm_memopt.graph import Graph, layered_graph, random_graph, working_set_bound
from tvm_memopt.solvers import Request, native, solve
from tvm_memopt.solvers.order.search import search_order
from tvm_memopt.solvers.remat.exact import solve_exactly
from tvm_memopt.solvers.remat.result import EVERY_SCHEDULE, RematResult
from tvm_memopt.solvers.remat.search import search_remat

CLASSES = ((6, 20), (21, 40), (41, 60))
FRACTIONS = ((0.5, 0.25, 0.75), (0.5, 0.75, 0.9), (0.75, 0.9, 0.5))  # of each class, in turn
JUDGED = ("equal", "close", "beaten", "missed")
OUTCOMES = ("equal", "close", "beaten", "missed", "open", "impossible")
_SAME = 1e-9
_STRIDE = 17  # prime to the number of sizes, so that all sizes come soon
_ORDER_SECONDS = 2.0
_HEADER = ("ops", "which", "graphs", *OUTCOMES, "worst beaten by %", "worst open gap %", "our mean s", "exact mean s")
_FAMILIES: Mapping[str, Callable[[int, int], Graph]] = {
    "random": lambda n, seed: random_graph(n, seed=seed, alignment=1),
    "layered": lambda n, seed: layered_graph(n, seed=seed),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every graph, print one table by size and family and keep the figures as JSON."""
    options = _parse(arguments)
    native.library()
    rows: list[dict[str, Any]] = []
    settings = {key: getattr(options, key) for key in ("seconds", "exact_seconds", "threads", "planner")}
    try:
        for family, graph, fraction, budget in cases():
            if sum(row["outcome"] in JUDGED for row in rows) >= options.graphs:
                break
            row = {"family": family, "name": graph.name, "ops": len(graph.ops), "fraction": fraction, "budget": budget}
            rows.append(row | measure(graph, budget, options))
            print(f"{len(rows)}: {rows[-1]}", file=sys.stderr, flush=True)
            save(options.out, {**settings, "rows": rows})
    except KeyboardInterrupt:
        print("interrupted: what is done is below", file=sys.stderr)
    print(render(rows))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=int, default=100, help="those whose answer is proved (default 100)")
    parser.add_argument("--seconds", type=float, default=10.0, help="time limit of ours (default 10)")
    parser.add_argument("--exact-seconds", type=float, default=20.0, help="time limit of the exact search (default 20)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--planner", action="store_true", help="ours is tvm_memopt.solvers.solve, its budget the arena")
    parser.add_argument("--out", default="remat_small", help="benchmarks/results/NAME.json (default remat_small)")
    return parser.parse_args(arguments)


def cases() -> Iterator[tuple[str, Graph, float, int]]:
    """Family, graph, fraction and budget, without end; graphs on which no budget calls for repeats are passed over."""
    least, most = CLASSES[0][0], CLASSES[-1][1]
    drawn: Counter[tuple[str, int]] = Counter()  # by family and class
    for number in itertools.count():
        family = list(_FAMILIES)[number % 2]
        n = least + (number // 2 * _STRIDE) % (most - least + 1)
        graph = _FAMILIES[family](n, number)
        size = next(index for index, (_, high) in enumerate(CLASSES) if n <= high)
        fraction = FRACTIONS[size][drawn[family, size] % len(FRACTIONS[size])]
        drawn[family, size] += 1
        budget = budget_between(graph, fraction)
        if budget is not None:
            yield family, graph, fraction, budget


def budget_between(graph: Graph, fraction: float) -> int | None:
    """That far from the largest working set to the least peak of an order; None where the two are one."""
    low = working_set_bound(replace(graph, alignment=1))[0]
    high = search_order(graph, seconds=_ORDER_SECONDS, seed=0, threads=1).peak
    budget = low + int(fraction * (high - low))
    return budget if budget < high and any(op.recomputable for op in graph.ops) else None


def measure(graph: Graph, budget: int, options: argparse.Namespace) -> dict[str, Any]:
    """Ours, the exact answer, and what comes of the two."""
    started = time.perf_counter()
    schedule, cost, fits = (_planned if options.planner else _searched)(graph, budget, options)
    seconds = time.perf_counter() - started
    exact = solve_exactly(graph, budget, time_limit=options.exact_seconds, threads=options.threads, hint=schedule)
    outcome, excess = judge(cost if fits else None, exact)
    return {
        "outcome": outcome,
        "excess": excess,
        "tdi": 100 * (cost / max(graph.base_cost, 1e-300) - 1) if fits else None,
        "exact_status": exact.status,
        "scope": exact.scope,
        "seconds": seconds,
        "exact_seconds": exact.stats["seconds"],
    }


def _searched(graph: Graph, budget: int, options: argparse.Namespace) -> tuple[Sequence[int], float, bool]:
    found = search_remat(graph, budget, seconds=options.seconds, threads=options.threads)
    if found.stats.get("stopped"):  # by Ctrl-C
        raise KeyboardInterrupt
    return found.schedule, found.cost, found.status in ("feasible", "optimal")


def _planned(graph: Graph, budget: int, options: argparse.Namespace) -> tuple[Sequence[int], float, bool]:
    plan = solve(graph, Request(budget, options.seconds, threads=options.threads))
    if plan.solver["interrupted"]:
        raise KeyboardInterrupt
    return plan.schedule, plan.cost, plan.status in ("feasible", "optimal")


def judge(cost: float | None, exact: RematResult) -> tuple[str, float | None]:
    """The outcome, and by how much ours exceeds the best that is known or, where it is open, the bound.

    ``cost``: of ours, None where it found no schedule within the budget. ``exact`` had ours as its hint.
    """
    found = exact.status in ("feasible", "optimal")
    proof = "equal" if exact.scope == EVERY_SCHEDULE else "close"
    if cost is None:
        return ("missed" if found else "impossible" if exact.status == "infeasible" else "open"), None
    if not found or exact.cost > cost * (1 + _SAME):
        raise SystemExit(f"the exact search answers {exact.status} at {exact.cost}, worse than its hint of {cost}")
    if exact.cost < cost * (1 - _SAME):
        return "beaten", _above(cost, exact.cost)
    if exact.status == "optimal":
        return proof, 0.0
    return "open", _above(cost, exact.cost_bound or 0.0)


def _above(cost: float, reference: float) -> float:
    return 100 * (cost / reference - 1) if reference else 0.0


def render(rows: Sequence[Mapping[str, Any]]) -> str:
    """Lines for each class of sizes, by family and by fraction, and the sum."""
    lines = []
    for low, high in CLASSES:
        of_size = [row for row in rows if low <= row["ops"] <= high]
        for key in ("family", "fraction"):
            for value in sorted({row[key] for row in of_size}):
                members = [row for row in of_size if row[key] == value]
                lines.append([f"{low} to {high}", value if key == "family" else f"at {value:g}", *_summary(members)])
    if rows:
        lines.append(["all", "all", *_summary(rows)])
    return table(_HEADER, lines)


def _summary(rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    count = Counter(row["outcome"] for row in rows)
    worst = [
        max((row["excess"] for row in rows if row["outcome"] == outcome and row["excess"] is not None), default=None)
        for outcome in ("beaten", "open")
    ]
    means = [statistics.fmean(row[key] for row in rows) for key in ("seconds", "exact_seconds")]
    counted = sum(count[outcome] for outcome in JUDGED)
    return [counted, *(count[outcome] for outcome in OUTCOMES), *worst, *means]


if __name__ == "__main__":
    sys.exit(main())

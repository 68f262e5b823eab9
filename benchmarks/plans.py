"""Plans of whole models, without building them: ``python -m benchmarks.plans [NAME...]``.

For each model of the set, it reports TVM's own plan, the peaks of the given order and of ours, the arena, the proved
bounds of both, and the seconds of the search. Each model runs in a separate process. The graphs are saved as
benchmarks/results/graphs/NAME.json for other benchmarks.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.child import row_in_process
from benchmarks.tables import RESULTS, geometric_mean, save, table

GRAPHS = RESULTS / "graphs"
HEADER = (
    "model", "ops", "TVM plan", "given peak", "our peak", "order bound", "gap %", "arena", "arena / peak", "status",
    "seconds", "order by", "addresses by",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Plan the set, or one model in this process (--one)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="models; default: the whole set")
    parser.add_argument("--time-limit", type=float, default=10.0, help="seconds to search (default 10, the tool's own)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        Path(options.out).write_text(json.dumps(plan_model(options.one, options.time_limit, options.threads)))
        return 0
    from benchmarks import zoo

    rows = {}
    for name in options.names or list(zoo.MODELS):
        rows[name] = _in_process(name, zoo.available(name), options)
        print(f"{name}: {rows[name].get('error') or rows[name]['seconds']}", file=sys.stderr, flush=True)
        save("plans", {"time_limit": options.time_limit, "threads": options.threads, "rows": rows})
    print(render(rows))
    return 0


def _in_process(name: str, missing: str | None, options: argparse.Namespace) -> dict[str, Any]:
    if missing is not None:
        return {"error": missing}
    limits = ["--time-limit", str(options.time_limit), "--threads", str(options.threads)]
    return row_in_process("benchmarks.plans", name, limits)


def plan_model(name: str, time_limit: float, threads: int) -> dict[str, Any]:
    """One row: the model of that name imported, lowered, extracted and planned."""
    import tvm

    from benchmarks import zoo
    from tvm_memopt.graph import check, write_graph
    from tvm_memopt.passes.compile import lower
    from tvm_memopt.passes.relax.baseline import baseline_plan
    from tvm_memopt.passes.relax.planning import PlanOptions, extract_module
    from tvm_memopt.solvers import Request, native, solve

    lowered, target = lower(zoo.MODELS[name].load(), tvm.target.Target("llvm"))
    graph = extract_module(lowered, target, PlanOptions()).functions["main"].graph
    GRAPHS.mkdir(parents=True, exist_ok=True)
    write_graph(graph, GRAPHS / f"{name}.json")
    native.library()  # loaded once a process; not a part of any plan's time
    plan = solve(graph, Request(time_limit=time_limit, threads=threads))
    check(graph, plan)
    solver = plan.solver
    return {
        "ops": len(graph.ops),
        "tvm_plan_nbytes": baseline_plan(lowered, target).total_nbytes,
        "given_peak_nbytes": solver["given_order_peak_nbytes"],
        "peak_nbytes": plan.peak_live_nbytes,
        "order_bound_nbytes": solver["order_peak_bound_nbytes"],
        "arena_nbytes": plan.arena_nbytes,
        "bound_nbytes": plan.lower_bound_nbytes,
        "status": plan.status,
        "seconds": solver["seconds"],
        "order_method": solver["order_method"],
        "layout_method": solver["layout_method"],
    }


def render(results: dict[str, dict[str, Any]]) -> str:
    """The table, and what it comes to."""
    rows = {name: row for name, row in results.items() if "error" not in row}
    lines = [table(HEADER, [_cells(name, row) for name, row in rows.items()])]
    lines += [f"{name}: {row['error']}" for name, row in results.items() if "error" in row]
    if not rows:
        return "\n".join(lines)
    exact = sum(row["arena_nbytes"] == row["peak_nbytes"] for row in rows.values())
    proved = sum(row["peak_nbytes"] <= row["order_bound_nbytes"] for row in rows.values())
    smallest = sum(row["status"] == "optimal" for row in rows.values())
    slowest = max(rows.values(), key=lambda row: float(row["seconds"]))["seconds"]
    return "\n".join(
        [
            *lines,
            f"arena = peak live bytes: {exact} of {len(rows)}",
            f"order proved to be one of the best: {proved} of {len(rows)}",
            f"arena proved smallest: {smallest} of {len(rows)}",
            f"peak / given order's: {_ratio(rows, 'peak_nbytes', 'given_peak_nbytes'):.3f}",
            f"arena / TVM's plan: {_ratio(rows, 'arena_nbytes', 'tvm_plan_nbytes'):.3f}",
            f"longest search: {slowest:.2f} s",
        ]
    )


def _ratio(rows: Mapping[str, dict[str, Any]], ours: str, theirs: str) -> float:
    return geometric_mean(row[ours] / row[theirs] for row in rows.values())


def _cells(name: str, row: dict[str, Any]) -> tuple[Any, ...]:
    gap = 100 * max(0, row["peak_nbytes"] / max(1, row["order_bound_nbytes"]) - 1)
    keys = "ops tvm_plan_nbytes given_peak_nbytes peak_nbytes order_bound_nbytes"
    figures = [row[key] for key in keys.split()]
    over = row["arena_nbytes"] / max(1, row["peak_nbytes"])
    methods = row["order_method"], row["layout_method"]
    return (name, *figures, gap, row["arena_nbytes"], over, row["status"], row["seconds"], *methods)


if __name__ == "__main__":
    sys.exit(main())

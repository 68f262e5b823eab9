"""Peak memory of training steps, and the run-time cost of a smaller arena.

``python -m benchmarks.training [NAME...]`` plans each training step of the zoo without a budget. With
``--budgets 80 60``, each is also planned, built and run with that percentage of its peak in the best order without
recomputation. Outputs and arena are checked on a real run, and the measured slowdown is reported next to the predicted
one.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from benchmarks.tables import save, table

MODEL_HEADER = (
    "model", "ops", "parameters", "given peak", "best peak", "best / given", "arena", "working set", "set / best",
    "status", "seconds",
)  # fmt: skip
BUDGET_HEADER = (
    "model", "% of best", "budget", "status", "arena", "measured arena", "steps", "ops", "equal", "predicted time",
    "CPU ratio", "seconds",
)  # fmt: skip
REPEATS = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Plan the training steps, and under each budget build and run them; exit status 1 when a run was wrong."""
    from benchmarks import zoo

    options = _parse(arguments)
    models: dict[str, Any] = {}
    budgets: list[dict[str, Any]] = []
    for name in options.names or list(zoo.TRAINING):
        models[name] = model_row(name, options.time_limit)
        for percent in options.budgets:
            budgets.append(train_row(name, percent, options.time_limit))
            print(f"{name} at {percent:g} %: {budgets[-1]['status']}", file=sys.stderr, flush=True)
        if not options.names:
            save("training", {"time_limit": options.time_limit, "models": models, "budgets": budgets})
    print(render(models, budgets))
    return int(any(not (row["outputs_equal"] and row["arena_as_planned"]) for row in budgets if "arena_nbytes" in row))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="models; default: all, with the results kept")
    parser.add_argument("--budgets", nargs="*", type=float, default=[], metavar="PERCENT", help="budgets to try")
    parser.add_argument("--time-limit", type=float, default=5.0, help="seconds to search each plan (default 5)")
    return parser.parse_args(arguments)


def model_row(name: str, time_limit: float) -> dict[str, Any]:
    """The training step of that name, planned without a budget and not built."""
    from benchmarks import zoo
    from tvm_memopt.api import extract
    from tvm_memopt.graph import check, given_order, peak_live, working_set_bound
    from tvm_memopt.solvers import Request, solve

    graph = extract(zoo.TRAINING[name].load())
    plan = solve(graph, Request(time_limit=time_limit))
    check(graph, plan)
    return {
        "ops": len(graph.ops),
        "parameters_nbytes": zoo.TRAINING[name].parameters_nbytes,
        "given_peak_nbytes": peak_live(graph, given_order(graph)),
        "peak_nbytes": plan.peak_live_nbytes,
        "arena_nbytes": plan.arena_nbytes,
        "working_set_nbytes": working_set_bound(graph)[0],
        "status": plan.status,
        "seconds": plan.solver.get("seconds"),
    }


@dataclass(frozen=True)
class _Unlimited:
    """What budgets are measured against: the best plan without recomputation, and its outputs."""

    mod: Any
    inputs: list[Any]
    executable: Any
    peak_nbytes: int
    expected: tuple[Any, ...]


@cache
def _unlimited(name: str, time_limit: float) -> _Unlimited:
    import tvm

    from benchmarks import zoo
    from tvm_memopt.api import optimize
    from tvm_memopt.passes.build import build_unmodified
    from tvm_memopt.runtime import run_module

    mod, inputs = zoo.TRAINING[name].load(), zoo.load_inputs(name)
    target = tvm.target.Target("llvm")
    planned, plan = optimize(mod, target, time_limit=time_limit, measure_costs=True)
    expected = run_module(build_unmodified(mod, target), inputs)
    return _Unlimited(mod, inputs, tvm.compile(planned, target), plan.peak_live_nbytes, expected)


def train_row(name: str, budget_percent: float, time_limit: float, repeats: int = REPEATS) -> dict[str, Any]:
    """One training step under a budget, in percent of the best order's peak without recomputation.

    Where no plan is found the row ends with the status ``infeasible`` (proved) or ``unknown``.
    """
    import tvm

    from tvm_memopt.api import optimize
    from tvm_memopt.errors import InfeasibleBudgetError, NoPlanError
    from tvm_memopt.runtime import compare_times, measure_memory, outputs_equal, run_module

    base = _unlimited(name, time_limit)
    budget = math.ceil(budget_percent * base.peak_nbytes / 100)
    row: dict[str, Any] = {"model": name, "budget_percent": budget_percent, "budget_nbytes": budget}
    try:
        planned, plan = optimize(base.mod, "llvm", budget, time_limit, measure_costs=True)
    except (InfeasibleBudgetError, NoPlanError) as error:
        status = "infeasible" if isinstance(error, InfeasibleBudgetError) else "unknown"
        return {**row, "status": status, "reason": str(error)}
    executable = tvm.compile(planned, "llvm")
    measured = measure_memory(executable, base.inputs)
    times = compare_times({"budget": executable, "unlimited": base.executable}, base.inputs, repeats)
    return {
        **row,
        "status": plan.status,
        "arena_nbytes": plan.arena_nbytes,
        "measured_arena_nbytes": measured.arena_nbytes,
        "arena_as_planned": measured.arena_nbytes == plan.arena_nbytes <= budget,
        "steps": len(plan.schedule),
        "ops": len(set(plan.schedule)),
        "outputs_equal": outputs_equal(run_module(executable, base.inputs), base.expected),
        "predicted_ratio": plan.cost / plan.base_cost,
        "cpu_ratio": times.cpu_ratio["budget"].median,
        "wall_ratio": times.wall_ratio["budget"].median,
        "seconds": plan.solver.get("seconds"),
    }


def render(models: dict[str, dict[str, Any]], budgets: Sequence[dict[str, Any]]) -> str:
    """The tables; a budget that no plan met has its reason below."""
    lines = [table(MODEL_HEADER, [_model_cells(name, row) for name, row in models.items()])]
    if budgets:
        lines += ["", table(BUDGET_HEADER, [_budget_cells(row) for row in budgets])]
        lines += [
            f"{row['model']} at {row['budget_percent']:g} %: {row['reason']}" for row in budgets if "reason" in row
        ]
    return "\n".join(lines)


def _model_cells(name: str, row: dict[str, Any]) -> tuple[Any, ...]:
    given, best, least = (row[key] for key in ("given_peak_nbytes", "peak_nbytes", "working_set_nbytes"))
    return (
        name, row["ops"], row["parameters_nbytes"], given, best, best / given, row["arena_nbytes"], least, least / best,
        row["status"], row["seconds"],
    )  # fmt: skip


def _budget_cells(row: dict[str, Any]) -> tuple[Any, ...]:
    keys = """model budget_percent budget_nbytes status arena_nbytes measured_arena_nbytes steps ops outputs_equal
        predicted_ratio cpu_ratio seconds"""
    return tuple(row.get(key) for key in keys.split())


if __name__ == "__main__":
    sys.exit(main())

"""Measured comparison of TVM's plan and ours on whole models.

``python -m benchmarks.models [NAME...]`` builds each model of the set unmodified and planned, in both modes of the
virtual machine, and compares bytes, outputs and time. Each model runs in a separate process. Results are saved
immediately, and ``--resume`` skips existing ones.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.child import row_in_process
from benchmarks.tables import geometric_mean, save, table

HEADER = (
    "model", "ops", "TVM plan", "TVM scratch", "given peak", "our peak", "our arena", "bound", "returned", "TVM total",
    "our total", "ratio", "arena/peak", "solve s", "extra time", "CPU ratio", "equal", "as planned", "poison",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the set, or one model in this process (--one)."""
    options = _parse(arguments)
    if options.one:
        Path(options.out).write_text(json.dumps(measure_model(options.one, options.time_limit, options.repeats)))
        return 0
    from benchmarks import zoo

    names = options.names or list(zoo.MODELS)
    results = _previous() if options.resume else {}
    for name in names:
        if name in results and "error" not in results[name]:
            continue
        results[name] = _in_process(name, options)
        print(_progress(name, results[name]), file=sys.stderr, flush=True)
        save("models", {"rows": results})
    print(render({name: results[name] for name in names if name in results}))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="models; default: the whole set")
    parser.add_argument("--time-limit", type=float, default=10.0, help="seconds to search each function (default 10)")
    parser.add_argument("--repeats", type=int, default=5, help="timed calls of each build (default 5)")
    parser.add_argument("--resume", action="store_true", help="keep the results that are there")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _previous() -> dict[str, Any]:
    from benchmarks.tables import RESULTS

    path = RESULTS / "models.json"
    return dict(json.loads(path.read_text())["rows"]) if path.exists() else {}


def _in_process(name: str, options: argparse.Namespace) -> dict[str, Any]:
    from benchmarks import zoo

    missing = zoo.available(name)
    if missing is not None:
        return {"skipped": missing}
    limits = ["--time-limit", str(options.time_limit), "--repeats", str(options.repeats)]
    return row_in_process("benchmarks.models", name, limits)


def _progress(name: str, row: dict[str, Any]) -> str:
    if "ratio" not in row:
        return f"{name}: {row.get('skipped') or row.get('error')}"
    return f"{name}: ratio {row['ratio']:.3f}, arena {row['arena_nbytes']:,}, equal {row['outputs_equal']}"


class _Clock:
    """CPU seconds of this process by name: other processes do not disturb them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, name: str, call: Callable[[], Any]) -> Any:
        before = time.process_time()
        result = call()
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - before
        return result


def measure_model(name: str, time_limit: float, repeats: int) -> dict[str, Any]:
    """One row: builds, measures and compares the model of that name."""
    import numpy as np
    import tvm

    from benchmarks import zoo
    from tvm_memopt.graph import find_violations
    from tvm_memopt.passes.build import build_planned, build_unmodified
    from tvm_memopt.passes.relax.baseline import baseline_plan
    from tvm_memopt.passes.relax.planning import PlanOptions
    from tvm_memopt.runtime import compare_times, measure_memory, outputs_equal, poison_run, run_module
    from tvm_memopt.testing import dead_after

    clock, target = _Clock(), tvm.target.Target("llvm")
    mod = clock.time("import", zoo.MODELS[name].load)
    inputs = [np.asarray(a) for a in zoo.load_inputs(name, 0)]
    options = PlanOptions(time_limit=time_limit)
    unmodified = clock.time("unmodified", lambda: build_unmodified(mod, target))
    build = clock.time("planned", lambda: build_planned(mod, target, options))
    found = build.planned.functions["main"]
    compiled = build_planned(mod, target, options, exec_mode="compiled").executable
    expected = run_module(unmodified, inputs)
    default = run_module(tvm.compile(mod, target), inputs)
    equal = [outputs_equal(run_module(m, inputs), o) for m in (build.executable, compiled) for o in (expected, default)]
    ours, theirs = measure_memory(build.executable, inputs), measure_memory(unmodified, inputs)
    ours_compiled = measure_memory(compiled, inputs)
    poison = poison_run(build.executable, inputs, dead_after(found.graph, found.plan), expected=expected)
    times = compare_times({"planned": build.executable, "unmodified": unmodified}, inputs, repeats)
    again = clock.seconds["unmodified"]
    totals = [m.storage_nbytes + m.returned_nbytes + m.workspace_requested_nbytes for m in (ours, theirs)]
    plan, solver = found.plan, found.plan.solver
    base = baseline_plan(build.lowered, target)
    return {
        "ops": len(found.graph.ops),
        "tvm_plan_nbytes": base.total_nbytes,
        "tvm_scratch_nbytes": theirs.workspace_requested_nbytes,
        "given_peak_nbytes": solver["given_order_peak_nbytes"],
        "peak_nbytes": plan.peak_live_nbytes,
        "arena_nbytes": plan.arena_nbytes,
        "bound_nbytes": plan.lower_bound_nbytes,
        "returned_nbytes": ours.returned_nbytes,
        "tvm_total_nbytes": totals[1],
        "total_nbytes": totals[0],
        "ratio": totals[0] / totals[1],
        "peak_ratio": ours.peak_nbytes / theirs.peak_nbytes,
        "kept_scratch_nbytes": ours.workspace_requested_nbytes,
        "arena_over_peak": plan.arena_nbytes / max(plan.peak_live_nbytes, 1),
        "status": plan.status,
        "unfolded": len(found.unfolded),
        "solve_seconds": solver["seconds"],
        "seconds": dict(clock.seconds),
        "stage_seconds": dict(build.seconds),
        "overhead": clock.seconds["planned"] / again - 1,
        "cpu_ratio": times.cpu_ratio["planned"].median,
        "outputs_equal": all(equal),
        "arena_as_planned": plan.arena_nbytes == ours.arena_nbytes == ours_compiled.arena_nbytes,
        "violations": len(find_violations(found.graph, plan)),
        "poison_clean": poison.clean,
        "growth_nbytes": ours.growth_nbytes,
        "skipped_functions": dict(build.planned.skipped),
        "notes": list(found.notes),
        "pid": os.getpid(),
    }


def render(results: dict[str, dict[str, Any]]) -> str:
    """The table, and what it comes to."""
    rows = [(name, row) for name, row in results.items() if "ratio" in row]
    lines = [table(HEADER, [_cells(name, row) for name, row in rows])]
    lines += [
        f"{name}: {row.get('skipped') or row.get('error')}" for name, row in results.items() if "ratio" not in row
    ]
    if rows:
        lines += _conclusions([row for _, row in rows])
    return "\n".join(lines)


def _conclusions(rows: Sequence[dict[str, Any]]) -> list[str]:
    def spread(key: str) -> str:
        return f"geometric mean {geometric_mean(r[key] for r in rows):.3f}, largest {max(r[key] for r in rows):.3f}"

    def count(key: str) -> str:
        return f"{sum(bool(r[key]) for r in rows)} of {len(rows)}"

    return [
        f"bytes really allocated, ours / TVM's fusing build: {spread('ratio')}",
        f"peak of bytes held at once, ours / TVM's: {spread('peak_ratio')}",
        f"arena / peak live: {spread('arena_over_peak')}",
        f"run time (CPU), ours / TVM's: {spread('cpu_ratio')}",
        f"compile time, ours / TVM's - 1: median {median(r['overhead'] for r in rows):.1%}",
        f"outputs equal in both modes: {count('outputs_equal')}",
        f"arena as planned: {count('arena_as_planned')}",
        f"poison run clean: {count('poison_clean')}",
        f"arena proved smallest: {sum(r['status'] == 'optimal' for r in rows)} of {len(rows)}",
    ]


def _cells(name: str, row: dict[str, Any]) -> tuple[Any, ...]:
    keys = """ops tvm_plan_nbytes tvm_scratch_nbytes given_peak_nbytes peak_nbytes arena_nbytes bound_nbytes
        returned_nbytes tvm_total_nbytes total_nbytes ratio arena_over_peak solve_seconds overhead cpu_ratio
        outputs_equal arena_as_planned poison_clean"""
    return (name, *(row[key] for key in keys.split()))


if __name__ == "__main__":
    sys.exit(main())

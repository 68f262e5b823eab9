"""Time and memory of planning as graphs grow: ``python -m benchmarks.scale``.

Layered graphs of growing size are planned, each in a separate process. It reports the seconds to the first valid plan
(a time limit of one microsecond) and the result of a time-limited search. The slope is that of log seconds and log
bytes over log (ops + edges); 1 is linear. Finally, planning of a graph of 10 000 ops is interrupted after two seconds.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.tables import save, table

SIZES = (1_000, 3_162, 10_000, 31_623, 100_000)
HEADER = (
    "ops", "edges", "first plan s", "first plan MiB", "planned s", "MiB", "given peak", "peak", "order bound", "arena",
    "arena / peak",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all sizes, print the table and the slopes, then interrupt one search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES, help="numbers of ops")
    parser.add_argument("--time-limit", type=float, default=30.0, help="seconds of search (default 30)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        print(json.dumps(_CHILDREN[options.child](options.sizes[0], options.time_limit)))
        return 0
    rows = []
    for n in options.sizes:
        first, best = _run("plan", n, 1e-6), _run("plan", n, options.time_limit)
        rows.append({**best, "first_seconds": first["seconds"], "first_nbytes": first["nbytes"]})
        print(f"{n} ops: {rows[-1]}", file=sys.stderr, flush=True)
    interrupted = _run("interrupt", 10_000, 600.0)
    document = {"time_limit": options.time_limit, "rows": rows, "interrupted": interrupted}
    save("scale", document)
    print(render(rows, interrupted))
    return 0


def _run(child: str, n: int, time_limit: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.scale", str(n), "--child", child, "--time-limit", repr(time_limit)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def plan(n: int, time_limit: float) -> dict[str, Any]:
    """Plan one layered graph in this process."""
    from tvm_memopt.graph import find_violations, layered_graph
    from tvm_memopt.solvers import Request, native, solve

    graph = layered_graph(n, seed=0)
    native.library()
    before = time.perf_counter()
    found = solve(graph, Request(time_limit=time_limit, threads=2))
    seconds = time.perf_counter() - before
    assert not find_violations(graph, found)
    return {
        "ops": len(graph.ops),
        "edges": sum(len(set(p)) for p in graph.predecessors),
        "seconds": seconds,
        "nbytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "given_peak": found.solver["given_order_peak_nbytes"],
        "peak": found.peak_live_nbytes,
        "bound": found.solver["order_peak_bound_nbytes"],
        "arena": found.arena_nbytes,
    }


def interrupt(n: int, time_limit: float) -> dict[str, Any]:
    """Plan one layered graph and press Ctrl-C after two seconds."""
    from tvm_memopt.graph import find_violations, layered_graph
    from tvm_memopt.solvers import Request, native, solve

    graph = layered_graph(n, seed=0)
    native.library()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    threading.Timer(2.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    before = time.perf_counter()
    found = solve(graph, Request(time_limit=time_limit, threads=2))
    seconds = time.perf_counter() - before
    return {
        "seconds": seconds,
        "interrupted": found.solver["interrupted"],
        "violations": len(find_violations(graph, found)),
        "given_peak": found.solver["given_order_peak_nbytes"],
        "arena": found.arena_nbytes,
    }


_CHILDREN = {"plan": plan, "interrupt": interrupt}


def render(rows: Sequence[dict[str, Any]], interrupted: dict[str, Any]) -> str:
    """The table, the slopes, and what the interrupted search returned."""
    keys = (
        "ops",
        "edges",
        "first_seconds",
        "first_nbytes",
        "seconds",
        "nbytes",
        "given_peak",
        "peak",
        "bound",
        "arena",
    )
    cells = [[row[key] / 2**20 if key.endswith("nbytes") else row[key] for key in keys] for row in rows]
    lines = [table(HEADER, [[*line, row["arena"] / row["peak"]] for line, row in zip(cells, rows, strict=True)])]
    if len(rows) > 1:
        lines.append(
            f"slope over ops + edges: first plan's seconds {_slope(rows, 'first_seconds'):.2f}, "
            f"its bytes {_slope(rows, 'first_nbytes'):.2f}, bytes of the search {_slope(rows, 'nbytes'):.2f}"
        )
    lines.append(
        f"10,000 ops, Ctrl-C after 2 s: returned after {interrupted['seconds']:.2f} s, interrupted "
        f"{interrupted['interrupted']}, violations {interrupted['violations']}, arena {interrupted['arena']:,} "
        f"(given order's peak {interrupted['given_peak']:,})"
    )
    return "\n".join(lines)


def _slope(rows: Sequence[dict[str, Any]], key: str) -> float:
    """Least squares over the logarithms."""
    points = [(math.log(row["ops"] + row["edges"]), math.log(row[key])) for row in rows]
    x_mean, y_mean = (sum(p[i] for p in points) / len(points) for i in (0, 1))
    return sum((x - x_mean) * (y - y_mean) for x, y in points) / sum((x - x_mean) ** 2 for x, _ in points)


if __name__ == "__main__":
    sys.exit(main())

"""Compare orders for least peak memory with those of other compilers: ``python -m benchmarks.order``.

Graphs: the published ones (G1 to G4, CM1, CM2) and ten layered graphs (seeds 0 to 9) of each size. The gap of a method
is its peak relative to the best peak of any method on that graph. Topoformer is the learned order of the bundled
checkpoint: greedy, the best of 16 and of 64 samples, a beam, and the 16 samples as a start of our search. In the last
case the search time is added.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.order import rivals as rival_orders
from benchmarks.tables import save, table
from tvm_memopt.graph import Graph, given_order, layered_graph, peak_live, read_graph
from tvm_memopt.solvers.native import order as native
from tvm_memopt.solvers.native.order.problem import packed_problem
from tvm_memopt.solvers.order import dfs, greedy_delta, greedy_peak, kahn
from tvm_memopt.solvers.order.learned import Checkpoint, learned_order
from tvm_memopt.solvers.order.search import search_order

PUBLISHED = Path(__file__).parents[2] / "tests" / "data" / "remat"
NAMES = ("G1", "G2", "G3", "G4", "CM1", "CM2")
RANDOM_ORDERS = 300
START_SAMPLES = 16  # of the learned order that our search starts from
Method = Callable[[Graph], dict[str, Any]]
LEARNED: Mapping[str, Callable[[Graph], Sequence[int]]] = {
    "Topoformer": lambda graph: learned_order(graph).order,
    "Topoformer 16": lambda graph: learned_order(graph, "sample", samples=16).order,
    "Topoformer 64": lambda graph: learned_order(graph, "sample", samples=64).order,
    "Topoformer beam 16": lambda graph: learned_order(graph, "beam", width=16).order,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen graphs and methods, print both tables and keep the figures as JSON."""
    options = _parse(arguments)
    methods = _methods(options)
    rows: dict[str, dict[str, Any]] = {}
    for name, graph in _graphs(options):
        rows[name] = {method: run(graph) for method, run in methods.items()}
        print(f"{name}: {_best(rows[name])}", file=sys.stderr, flush=True)
        save(
            options.out, {"seconds": options.seconds, "threads": options.threads, "seeds": options.seeds, "rows": rows}
        )
    print(render(rows))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"published graphs among {', '.join(NAMES)}; default: all")
    parser.add_argument("--layered", type=int, nargs="*", default=[500, 1000, 2000], metavar="N", help="sizes")
    parser.add_argument("--graphs", type=int, default=10, help="layered graphs of each size (default 10)")
    parser.add_argument("--seconds", type=float, nargs="*", default=[1, 10, 60], help="our time limits")
    parser.add_argument("--learned-seconds", type=float, nargs="*", default=[1], help="the same after a learned start")
    parser.add_argument("--seeds", type=int, default=1, help="runs of ours, of which the median counts (default 1)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", default="order", help="benchmarks/results/NAME.json (default order)")
    return parser.parse_args(arguments)


def _graphs(options: argparse.Namespace) -> Iterator[tuple[str, Graph]]:
    for name in options.names or NAMES:
        yield name, read_graph(PUBLISHED / f"{name}.json")
    for n in options.layered:
        for seed in range(options.graphs):
            yield f"layered {n} #{seed}", layered_graph(n, seed=seed)


def _methods(options: argparse.Namespace) -> Mapping[str, Method]:
    orders: dict[str, Callable[[Graph], Sequence[int]]] = {
        "given": given_order,
        "Kahn": kahn,
        "DFS": dfs,
        "greedy peak": greedy_peak,
        "greedy delta": greedy_delta,
        f"best of {RANDOM_ORDERS} random": random_orders,
        "XLA list": rival_orders.xla_list,
        "XLA DFS": rival_orders.xla_dfs,
        "XLA post-order": rival_orders.xla_post_order,
        "Inductor LPMF": rival_orders.inductor_lpmf,
        "ONNX Runtime": rival_orders.onnx_runtime,
    }
    methods: dict[str, Method] = {name: partial(timed, order) for name, order in orders.items()}
    methods |= {name: partial(timed, order) for name, order in LEARNED.items()}
    for seconds in options.seconds:
        methods[f"ours {seconds:g} s"] = partial(_ours, seconds, options.threads, options.seeds)
    for seconds in options.learned_seconds:
        methods[f"Topoformer + {seconds:g} s"] = partial(learned_start, seconds, options.threads, None)
    return methods


def random_orders(graph: Graph) -> Sequence[int]:
    problem = packed_problem(graph)
    assert problem is not None
    order, _ = native.construct(problem, native.Construction.RANDOM, repeats=RANDOM_ORDERS)
    return list(order.tolist())


def timed(order: Callable[[Graph], Sequence[int]], graph: Graph) -> dict[str, Any]:
    started = time.perf_counter()
    found = order(graph)
    return {"seconds": time.perf_counter() - started, "peak": peak_live(graph, found)}


def learned_start(seconds: float, threads: int, checkpoint: Checkpoint | None, graph: Graph) -> dict[str, Any]:
    """The search with the learned order among its starts; its time includes that order's."""
    started = time.perf_counter()
    start = learned_order(graph, "sample", samples=START_SAMPLES, checkpoint=checkpoint).order
    found = search_order(graph, seconds=seconds, threads=threads, start_orders=[start])
    return {"peak": peak_live(graph, found.order), "seconds": time.perf_counter() - started}


def _ours(seconds: float, threads: int, seeds: int, graph: Graph) -> dict[str, Any]:
    """The run of median peak; the bound and the time are its own."""
    runs = []
    for seed in range(seeds):
        started = time.perf_counter()
        found = search_order(graph, seconds=seconds, seed=seed, threads=threads)
        spent = time.perf_counter() - started
        if peak_live(graph, found.order) != found.peak:
            raise SystemExit(f"{graph.name}: the search reports {found.peak}, which is not the peak of its order")
        runs.append({"peak": found.peak, "bound": found.bound, "seconds": spent, "method": found.method})
    runs.sort(key=lambda run: (run["peak"], run["seconds"]))
    return {**runs[(len(runs) - 1) // 2], "peaks": [run["peak"] for run in runs]}


def _best(row: Mapping[str, Any]) -> int:
    return min(int(cell["peak"]) for cell in row.values())


def render(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """One table of every graph, and one of the mean gap by method and family."""
    methods = list(next(iter(rows.values()), {}))
    ours = [method for method in methods if method.startswith("ours")]
    header = ["graph", "best", "bound", *(f"{m} %" for m in methods), *(f"{m} takes" for m in ours)]
    lines = [_row(name, row, methods, ours) for name, row in rows.items()]
    return f"{table(header, lines)}\n\nMean gap in % and mean seconds\n{_summary(rows, methods)}"


def _row(name: str, row: Mapping[str, Any], methods: Sequence[str], ours: Sequence[str]) -> list[Any]:
    bound = max((row[m]["bound"] for m in ours), default=None)
    gaps = [_gap(row, m) for m in methods]
    return [name, _best(row), bound, *gaps, *(row[m]["seconds"] for m in ours)]


def _gap(row: Mapping[str, Any], method: str) -> float:
    return 100 * (float(row[method]["peak"]) / _best(row) - 1)


def _summary(rows: Mapping[str, Mapping[str, Any]], methods: Sequence[str]) -> str:
    families: dict[str, list[Mapping[str, Any]]] = {}
    for name, row in rows.items():
        families.setdefault(name.split(" #")[0] if " #" in name else "published", []).append(row)
    lines = []
    for method in methods:
        cells: list[Any] = [method]
        for family in families.values():
            cells.append(statistics.fmean(_gap(row, method) for row in family))
            cells.append(statistics.fmean(float(row[method]["seconds"]) for row in family))
        lines.append(cells)
    return table(["method", *(part for f in families for part in (f"{f} %", "s"))], lines)

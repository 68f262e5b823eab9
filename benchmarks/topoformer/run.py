"""Learned orders on graphs not used in training: ``python -m benchmarks.topoformer``.

On layered graphs, seeds 0 to 29 of each size (training uses seeds from 1,000,000, validation from 500,000), it reports
gaps to the best peak of any method on the graph, seconds after loading, and paired tests of our search with and without
a learned start. Real operator graphs follow, from benchmarks/results/graphs (``python -m benchmarks.plans`` writes
them). Results are saved after each graph; ``--resume`` continues from them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.order import rivals as rival_orders
from benchmarks.order.run import RANDOM_ORDERS, START_SAMPLES, learned_start, random_orders, timed
from benchmarks.paired import sign_test, wilcoxon
from benchmarks.tables import RESULTS, save, table
from tvm_memopt.graph import Graph, given_order, layered_graph, peak_live, read_graph
from tvm_memopt.solvers.order import dfs, greedy_delta, kahn
from tvm_memopt.solvers.order.learned import Checkpoint, learned_order, read_checkpoint
from tvm_memopt.solvers.order.learned.decoding import best_beam, best_greedy, best_sample
from tvm_memopt.solvers.order.learned.order import learned_policy
from tvm_memopt.solvers.order.search import search_order

Row = dict[str, dict[str, Any]]
ALONE, STARTED, WITHIN = "search 1 s", "Topoformer + search 1 s", "Topoformer and search, 1 s in all"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, keep, print."""
    options = _parse(arguments)
    checkpoint = read_checkpoint(options.checkpoint) if options.checkpoint else None
    rows: dict[str, Row] = _known(options) if options.resume else {}
    learned_order(layered_graph(50, seed=0), checkpoint=checkpoint)  # loading is not what is timed
    for name, graph in _graphs(options):
        if name in rows:
            continue
        rows[name] = {m: run(graph) for m, run in _methods(options, checkpoint, graph).items()}
        print(f"{name}: {_best(rows[name])}", file=sys.stderr, flush=True)
        save(options.out, {"threads": options.threads, "reference": options.reference, "rows": rows})
    layered = {name: row for name, row in rows.items() if name.startswith("layered ")}
    print(render_layered(layered))
    print(render_real({name: row for name, row in rows.items() if name not in layered}))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layered", type=int, nargs="*", default=[500, 1000, 2000], metavar="N", help="sizes")
    parser.add_argument("--graphs", type=int, default=30, help="layered graphs of each size (default 30)")
    parser.add_argument(
        "--reference", type=float, default=5, metavar="S", help="seconds of search for the best known peak (default 5)"
    )
    parser.add_argument("--real", type=Path, default=RESULTS / "graphs", metavar="DIR", help="operator graphs as JSON")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--checkpoint", metavar="FILE", help="default: the one of the package")
    parser.add_argument("--resume", action="store_true", help="keep what was measured before")
    parser.add_argument("--out", default="topoformer", help="benchmarks/results/NAME.json (default topoformer)")
    return parser.parse_args(arguments)


def _known(options: argparse.Namespace) -> dict[str, Row]:
    path = RESULTS / f"{options.out}.json"
    kept: dict[str, Row] = json.loads(path.read_text())["rows"] if path.exists() else {}
    return kept


def _graphs(options: argparse.Namespace) -> Iterator[tuple[str, Graph]]:
    for n in options.layered:
        for seed in range(options.graphs):
            yield f"layered {n} #{seed}", layered_graph(n, seed=seed)
    for path in sorted(options.real.glob("*.json")):
        yield path.stem, read_graph(path)


def _methods(
    options: argparse.Namespace, checkpoint: Checkpoint | None, graph: Graph
) -> Mapping[str, Callable[[Graph], dict[str, Any]]]:
    orders: dict[str, Callable[[Graph], Sequence[int]]] = {
        "given": given_order,
        "Kahn": kahn,
        "DFS": dfs,
        "greedy delta": greedy_delta,
        f"best of {RANDOM_ORDERS} random": random_orders,
        "XLA DFS": rival_orders.xla_dfs,
        "ONNX Runtime": rival_orders.onnx_runtime,
    }
    methods: dict[str, Callable[[Graph], dict[str, Any]]] = {n: partial(timed, order) for n, order in orders.items()}
    for name, decode in {
        "Topoformer": best_greedy,
        "Topoformer 16": partial(best_sample, samples=16, seed=0),
        "Topoformer 64": partial(best_sample, samples=64, seed=0),
        "Topoformer beam 16": partial(best_beam, width=16),
    }.items():
        methods[name] = partial(_learned, decode, checkpoint)
    if graph.name.startswith("layered"):
        methods[ALONE] = partial(_searched, 1.0, options.threads)
        methods[STARTED] = partial(learned_start, 1.0, options.threads, checkpoint)
        methods[WITHIN] = partial(_within, 1.0, options.threads, checkpoint)
        reference = options.reference
    else:
        reference = min(1.0, options.reference)  # real graphs are settled at once
    if reference > 0:
        methods["reference"] = partial(_searched, reference, options.threads)
    return methods


def _learned(decode: Callable[..., Any], checkpoint: Checkpoint | None, graph: Graph) -> dict[str, Any]:
    """The network's own order, whether or not the given one is better."""
    started, cpu = time.perf_counter(), time.process_time()
    problem, policy = learned_policy(graph, checkpoint)
    order, _ = decode(problem, policy)
    spent = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu}
    return {**spent, "peak": peak_live(graph, order.tolist())}


def _searched(seconds: float, threads: int, graph: Graph) -> dict[str, Any]:
    started = time.perf_counter()
    found = search_order(graph, seconds=seconds, threads=threads)
    return {"peak": found.peak, "bound": found.bound, "seconds": time.perf_counter() - started}


def _within(seconds: float, threads: int, checkpoint: Checkpoint | None, graph: Graph) -> dict[str, Any]:
    """The learned order out of the same time."""
    started = time.perf_counter()
    start = learned_order(graph, "sample", samples=START_SAMPLES, checkpoint=checkpoint).order
    left = max(0.05, seconds - (time.perf_counter() - started))
    found = search_order(graph, seconds=left, threads=threads, start_orders=[start])
    return {"peak": found.peak, "seconds": time.perf_counter() - started}


def _best(row: Row) -> int:
    return min(int(cell["peak"]) for cell in row.values())


def _gap(row: Row, method: str) -> float:
    return 100 * (float(row[method]["peak"]) / _best(row) - 1)


def render_layered(rows: Mapping[str, Row]) -> str:
    """Mean gaps and seconds by size, and the paired tests."""
    families: dict[str, list[Row]] = {}
    for name, row in rows.items():
        families.setdefault(name.split(" #")[0], []).append(row)
    lines = []
    for method in next(iter(rows.values()), {}):
        cells: list[Any] = [method]
        for family in families.values():
            cells += [
                statistics.fmean(_gap(row, method) for row in family),
                statistics.fmean(float(row[method]["seconds"]) for row in family),
            ]
        lines.append(cells)
    header = ["mean gap in % and seconds", *(part for f in families for part in (f"{f} %", "s"))]
    tests = [_paired(name, family, other) for other in (STARTED, WITHIN) for name, family in families.items()]
    if len(families) > 1:
        tests += [_paired("all sizes", list(rows.values()), other) for other in (STARTED, WITHIN)]
    columns = ["graphs", "pair", "mean gap alone %", "with %", "better", "worse", "sign test p", "Wilcoxon p"]
    return f"{table(header, lines)}\n{_processor_seconds(families)}\n\n{table(columns, tests)}\n"


def _processor_seconds(families: Mapping[str, Sequence[Row]]) -> str:
    means = [
        f"{name}: {statistics.fmean(float(row['Topoformer'].get('cpu_seconds', 'nan')) for row in family):.3f}"
        for name, family in families.items()
    ]
    return f"processor seconds of a greedy order: {', '.join(means)}"


def _paired(name: str, family: Sequence[Row], other: str) -> list[Any]:
    alone, started = [_gap(row, ALONE) for row in family], [_gap(row, other) for row in family]
    differences = [b - a for a, b in zip(alone, started, strict=True)]
    better, worse, p = sign_test(differences)
    means = statistics.fmean(alone), statistics.fmean(started)
    return [name, f"{other} against {ALONE}", *means, better, worse, p, wilcoxon(differences)]


def render_real(rows: Mapping[str, Row]) -> str:
    """Peaks of real graphs; "kept" is what a caller of learned_order gets: the better of given and learned."""
    lines = []
    for name, row in rows.items():
        peaks = {method: int(cell["peak"]) for method, cell in row.items()}
        kept = min(peaks["given"], peaks["Topoformer"])
        shown = [peaks[m] for m in ("given", "Kahn", "greedy delta", "ONNX Runtime", "Topoformer", "Topoformer 64")]
        bound = row.get("reference", {}).get("bound")
        lines.append([name, bound, *shown, kept, kept <= peaks["given"], float(row["Topoformer"]["seconds"])])
    columns = ["graph", "bound", "given", "Kahn", "greedy delta", "ONNX Runtime", "Topoformer", "Topoformer 64"]
    return table([*columns, "kept", "no worse than given", "s"], lines)

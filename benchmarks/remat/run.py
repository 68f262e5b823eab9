"""Compare rematerialisation under a budget with other methods: ``python -m benchmarks.remat``.

Budgets are percentages of the peak of the given order, rounded up. TDI is the cost increase in percent. Ours is the
median over seeds. Another method runs once, with the first seed and the same seconds and threads. Figures are saved
after every run; ``--resume`` reuses saved ones, and ``--plot`` draws the best TDI over time. Names beginning with
torch- are training steps traced by torch (benchmarks.torch_partitions).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.remat.figures import (
    ANNEALER,
    CLOSE,
    FASTSA,
    LARGE,
    MOCCASIN,
    mean_ratio,
    median_run,
    median_seconds,
    published,
    ratios,
    seconds_to_final,
)
from benchmarks.remat.rivals import OURS, RIVALS, Case, load, warm_up
from benchmarks.tables import RESULTS, save, table
from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import given_order, parse_budget, peak_live

NAMES = ("G1", "G2", "G3", "G4", "CM1", "CM2")
BUDGETS = (90.0, 80.0, 70.0, 60.0, 50.0)
DEFAULT_RIVALS = ("moccasin", "checkmate", "rounding", "mincut")
_SETTINGS = ("seconds", "threads", "seeds")
_NOTE = """\
TDI in percent; {seconds:g} s, {threads} threads; ours: median of {seeds} seeds; rivals: TDI and seconds.
* proved least in the space that the method searches. Time ratio: seconds of MOCCASIN run here (the quicker of its \
encodings) to its published TDI, over ours; last column: to its own best. >: it ran out of time, so at least."""
_CUT_NOTE = "torch's setting: of its own budget, which is for the bytes saved; of all settings, the cheapest that fits."
_CUT_HEADER = ("graph", "%", "torch's setting", "saved bytes", "its TDI %", "its peak %", "our TDI %", "our peak %")
_MARKS = {"optimal": "*", "infeasible": "proved impossible", "unknown": "none", "not run": "-"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen graphs, budgets and methods, print the table and keep the figures as JSON."""
    options = _parse(arguments)
    document = _document(options)
    warm_up()
    try:
        for name, percent in ((name, percent) for name in options.names or NAMES for percent in options.budgets):
            for _ in _fill(document, name, percent, options):
                save(options.out, document)
    except KeyboardInterrupt:
        print("interrupted: what is done is below; --resume goes on from there", file=sys.stderr)
    except MemoptError as error:
        print(error, file=sys.stderr)
        return 1
    print(render(document))
    if options.plot:
        from benchmarks.remat.plot import write_anytime

        write_anytime(document, options.plot)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"default: {' '.join(NAMES)}; also VGG16-train and others of the data")
    parser.add_argument("--budgets", type=float, nargs="*", default=BUDGETS, metavar="PERCENT")
    parser.add_argument("--seconds", type=float, default=60.0, help="time limit of each run (default 60)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3, help="runs of ours, of which the median counts (default 3)")
    parser.add_argument("--rivals", nargs="*", choices=RIVALS, default=DEFAULT_RIVALS)
    parser.add_argument("--arena", action="store_true", help="run the whole planner too: the budget is its arena")
    parser.add_argument("--resume", action="store_true", help="keep the figures of an earlier, equal call")
    parser.add_argument("--plot", metavar="FILE", help="draw the best TDI over time: .svg or .png")
    parser.add_argument("--out", default="remat", help="benchmarks/results/NAME.json (default remat)")
    return parser.parse_args(arguments)


def _document(options: argparse.Namespace) -> dict[str, Any]:
    """The figures so far. Exits where --resume finds figures of other settings."""
    settings = {key: getattr(options, key) for key in _SETTINGS}
    path = RESULTS / f"{options.out}.json"
    if not (options.resume and path.exists()):
        return {**settings, "rows": {}}
    document = dict(json.loads(path.read_text()))
    found = {key: document.get(key) for key in _SETTINGS}
    if found != settings:
        raise SystemExit(f"{path}: is of {found}, expected {settings}; give those, or another --out")
    return document


def _fill(document: dict[str, Any], name: str, percent: float, options: argparse.Namespace) -> Iterator[None]:
    """Run what the row lacks; stops after every method, so that the caller can save."""
    wanted = {**OURS, **RIVALS}
    names = ["ours", *(["arena"] if options.arena else []), *options.rivals]
    key = f"{name} {percent:g}"
    if all(method in document["rows"].get(key, {}).get("methods", {}) for method in names):
        return
    graph = load(name)
    budget = parse_budget(f"{percent:g}%", graph)
    row = document["rows"].setdefault(
        key,
        {
            "graph": name,
            "percent": percent,
            "ops": len(graph.ops),
            "budget": budget,
            "given_peak": peak_live(graph, given_order(graph)),
            "methods": {},
        },
    )
    case = Case(name, graph, budget, options.seconds, options.threads)
    for method in names:
        if method not in row["methods"]:
            runs = [wanted[method](case, seed) for seed in range(options.seeds if method in OURS else 1)]
            row["methods"][method] = {"runs": runs}
            text = ", ".join(_found(run) for run in runs)
            print(f"{key} %, {method}: {text}", file=sys.stderr, flush=True)
            yield


def render(document: Mapping[str, Any]) -> str:
    """The table of every row, and the mean ratios of time."""
    rows = list(document["rows"].values())
    present = {method for row in rows for method in row["methods"]}
    rivals = [name for name in RIVALS if name in present]
    header = ["graph", "ops", "%", "ours TDI %", "min", "max", "bound %", "to final s", "to 10 % s"]
    header += ["planner TDI %", "arena / budget"] if "arena" in present else []
    header += [*rivals, "MOCCASIN published", "FastSA published", "annealer", "time ratio", "ratio, own final"]
    lines = [table(header, [_cells(row, rivals, "arena" in present, document["seconds"]) for row in rows])]
    lines.append(_NOTE.format(**{key: document[key] for key in _SETTINGS}))
    for kind, text in (("published", "its published TDI"), ("own", "the best it found")):
        mean, count, bounds = mean_ratio(rows, kind, document["seconds"])
        if count:
            lines.append(
                f"MOCCASIN's time to {text} over ours, {LARGE} ops or more: geometric mean {mean:.1f} over {count} rows"
                f" ({bounds} of them lower bounds)"
            )
    cuts = [row for row in rows if any("plans" in run for run in _runs(row, "mincut"))]
    if cuts:
        lines += ["", table(_CUT_HEADER, [_cut_cells(row) for row in cuts])]
        lines.append(_CUT_NOTE)
    return "\n".join(lines)


def _runs(row: Mapping[str, Any], method: str) -> Sequence[Mapping[str, Any]]:
    runs: Sequence[Mapping[str, Any]] = row["methods"].get(method, {"runs": []})["runs"]
    return runs


def _cut_cells(row: Mapping[str, Any]) -> list[Any]:
    run, ours = _runs(row, "mincut")[0], median_run(_runs(row, "ours"))
    plan: Mapping[str, Any] = next((plan for plan in run["plans"] if plan["knob"] == run.get("knob")), {})
    shares = [None if value is None else 100 * value / row["given_peak"] for value in (run["peak"], ours["peak"])]
    figures = [plan.get("knob"), plan.get("saved"), run["tdi"], shares[0], ours["tdi"], shares[1]]
    return [row["graph"], f"{row['percent']:g}", *figures]


def _cells(row: Mapping[str, Any], rivals: Sequence[str], with_arena: bool, limit: float) -> list[Any]:
    methods = row["methods"]
    cells: list[Any] = [row["graph"], row["ops"], f"{row['percent']:g}", *_our_cells(methods.get("ours"))]
    if with_arena:
        cells += _arena_cells(methods.get("arena"), row["budget"])
    cells += [_found(methods[name]["runs"][0]) if name in methods else None for name in rivals]
    cells += [published(table, row["graph"], row["percent"]) for table in (MOCCASIN, FASTSA, ANNEALER)]
    return cells + [_ratio(ratio) for ratio in ratios(row, limit).values()]


def _our_cells(cell: Mapping[str, Any] | None) -> list[Any]:
    if cell is None:
        return [None] * 6
    runs = cell["runs"]
    middle = median_run(runs)
    found = [run["tdi"] for run in runs if run["tdi"] is not None]
    if not found:
        return [_MARKS[middle["status"]], *[None] * 5]
    times = [median_seconds([seconds_to_final(run["curve"], factor) for run in runs]) for factor in (1.0, CLOSE)]
    bound = max((run["bound"] for run in runs if run["bound"] is not None), default=None)
    worst = None if len(found) < len(runs) else max(found)
    return [_found(middle, seconds=False), min(found), worst, bound, *times]


def _arena_cells(cell: Mapping[str, Any] | None, budget: int) -> list[Any]:
    if cell is None:
        return [None, None]
    middle = median_run(cell["runs"])
    return [_found(middle, seconds=False), middle["arena"] / budget]


def _found(run: Mapping[str, Any], *, seconds: bool = True) -> str:
    """TDI, a star where it is proved least, and the seconds; or the word for why there is none."""
    mark = _MARKS.get(run["status"], "")
    if run["status"] == "not run":
        return mark
    if run["tdi"] is None and "too large" in run.get("note", ""):
        mark = "too large"
    text = mark if run["tdi"] is None else f"{run['tdi']:.3f}{mark}"
    return f"{text} ({_seconds(run)} s)" if seconds else text


def _seconds(run: Mapping[str, Any]) -> str:
    value = run["seconds"]
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def _ratio(ratio: tuple[float, bool] | None) -> str | None:
    if ratio is None:
        return None
    digits = 1 if math.fabs(ratio[0]) < 100 else 0
    return f"{'' if ratio[1] else '>'}{ratio[0]:.{digits}f}"

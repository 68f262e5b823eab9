"""One run of one method of ``benchmarks.remat.run``, ours or another, checked and converted to a common form."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from benchmarks.remat.figures import tdi
from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import Graph, graph_from_json, peak_live, read_graph
from tvm_memopt.solvers import Request, native, solve
from tvm_memopt.solvers.published.checkmate.solve import round_checkmate, solve_checkmate
from tvm_memopt.solvers.published.moccasin.solve import solve_moccasin
from tvm_memopt.solvers.remat.result import EVERY_SCHEDULE, RematResult
from tvm_memopt.solvers.remat.search import search_remat

PUBLISHED = Path(__file__).parents[2] / "tests" / "data" / "remat"
TORCH = "torch-"  # names of the graphs that torch itself traces
_TORCH_SECONDS = 600


@dataclass(frozen=True)
class Case:
    """A graph by name, a budget, and what each method may spend on it."""

    name: str
    graph: Graph
    budget_nbytes: int
    seconds: float
    threads: int


Run = dict[str, Any]
Method = Callable[[Case, int], Run]


def load(name: str) -> Graph:
    """A published graph by file name, or the joint graph of one of torch_partitions's models."""
    if name.startswith(TORCH):
        return graph_from_json(_torch_answer(name)["graph"])
    return read_graph(PUBLISHED / f"{name}.json")


def warm_up() -> None:
    """Load what would otherwise be loaded on the clock of the first run."""
    from ortools.sat.python import cp_model

    cp_model.CpModel()
    native.library()


def ours(case: Case, seed: int) -> Run:
    """The search on live bytes, to the end of its time or to a proof."""
    return _timed(
        case,
        lambda: search_remat(case.graph, case.budget_nbytes, seconds=case.seconds, seed=seed, threads=case.threads),
    )


def arena(case: Case, seed: int) -> Run:
    """The whole planner, whose budget is the arena: addresses are a part of it."""
    request = Request(case.budget_nbytes, case.seconds, seed=seed, threads=case.threads)
    started = time.perf_counter()
    plan = solve(case.graph, request)
    if plan.solver["interrupted"]:
        raise KeyboardInterrupt
    fits = plan.status in ("feasible", "optimal")
    return {
        "tdi": tdi(plan.cost, plan.base_cost) if fits else None,
        "status": plan.status,
        "peak": plan.peak_live_nbytes,
        "arena": plan.arena_nbytes,
        "bound": None if plan.cost_bound is None else tdi(plan.cost_bound, plan.base_cost),
        "seconds": time.perf_counter() - started,
        "curve": [],
    }


def moccasin(case: Case, seed: int, *, as_published: bool) -> Run:
    """Retention intervals on CP-SAT: our encoding, exact, or the one of the authors' code."""
    return _timed(
        case,
        lambda: solve_moccasin(
            case.graph,
            case.budget_nbytes,
            encoding="reservoir" if as_published else "literals",
            log_lengths=as_published,
            time_limit=case.seconds,
            threads=case.threads,
            seed=seed,
        ),
    )


def checkmate(case: Case, seed: int, *, rounded: bool) -> Run:
    """The integer programme on HiGHS, or its relaxation rounded."""
    solver = round_checkmate if rounded else solve_checkmate
    return _timed(
        case,
        lambda: solver(case.graph, case.budget_nbytes, time_limit=case.seconds, threads=case.threads, seed=seed),
    )


def min_cut(case: Case, _: int) -> Run:
    """torch's partitioner: of its plans over all settings of its own budget, the cheapest that keeps ours.

    Its budget is for the bytes saved between the passes; the seconds are those of all settings together.
    """
    try:
        if not case.name.startswith(TORCH) and not any(op.name.endswith("_backward") for op in case.graph.ops):
            raise MemoptError(f"{case.name}: has no backward pass")
        answer = _torch_answer(case.name)
    except MemoptError as error:
        return {"tdi": None, "status": "not run", "note": str(error), "seconds": 0.0, "curve": []}
    plans = [_scored(case.graph, plan) for plan in answer["plans"]]
    fitting = [plan for plan in plans if plan["peak"] <= case.budget_nbytes]
    best = min(fitting, key=lambda plan: float(plan["tdi"]), default=None)
    seconds = sum(float(plan["seconds"]) for plan in answer["plans"])
    lowest = min(int(plan["peak"]) for plan in plans)
    run: Run = {"tdi": None, "status": "unknown", "peak": lowest, "seconds": seconds, "curve": [], "plans": plans}
    if best is None:
        return run
    return {**run, "tdi": best["tdi"], "status": "feasible", "peak": best["peak"], "knob": best["knob"]}


def _scored(graph: Graph, plan: Mapping[str, Any]) -> dict[str, Any]:
    """A plan of torch's by the same measures as every other; it is valid, or this raises PlanError."""
    schedule = plan["schedule"]
    missing = set(range(len(graph.ops))) - set(schedule)
    if missing:
        raise SystemExit(f"{graph.name}: a plan of torch's never runs {graph.ops[min(missing)].name}")
    cost = sum(graph.ops[op].cost for op in schedule)
    return {
        "knob": plan["knob"],
        "saved": plan["saved_nbytes"],
        "peak": peak_live(graph, schedule),
        "tdi": tdi(cost, graph.base_cost),
    }


@cache
def _torch_answer(name: str) -> dict[str, Any]:
    """What benchmarks.torch_partitions says of that graph; torch stays in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "answer.json"
        command = [sys.executable, "-m", "benchmarks.torch_partitions", name, "--out", str(out)]
        try:
            run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TORCH_SECONDS)
        except subprocess.TimeoutExpired:
            raise MemoptError(f"{name}: torch's partitioner did not end within {_TORCH_SECONDS} s") from None
        if run.returncode:
            last = run.stderr.strip().splitlines() or [f"exit status {run.returncode}"]
            raise MemoptError(f"{name}: torch's partitioner was not run: {last[-1]}")
        return dict(json.loads(out.read_text()))


def _timed(case: Case, call: Callable[[], RematResult]) -> Run:
    started = time.perf_counter()
    found = call()
    seconds = time.perf_counter() - started
    if found.stats.get("stopped"):  # by Ctrl-C, which ends ours with its best so far: not a figure to keep
        raise KeyboardInterrupt
    _check(case, found)
    base = case.graph.base_cost
    return {
        "tdi": tdi(found.cost, base) if found.status in ("feasible", "optimal") else None,
        "status": found.status,
        "peak": found.peak_nbytes,
        "bound": None if found.cost_bound is None else tdi(found.cost_bound, base),
        "every_schedule": found.scope == EVERY_SCHEDULE,
        "scope": found.scope,
        "seconds": seconds,
        "curve": [[at, tdi(cost, base)] for at, cost in found.history],
        "note": str(found.stats.get("reason", "")),
    }


def _check(case: Case, found: RematResult) -> None:
    """Nothing of an answer is believed that its schedule does not show."""
    cost = sum(case.graph.ops[op].cost for op in found.schedule)
    peak = peak_live(case.graph, found.schedule)
    said = found.status in ("feasible", "optimal")
    wrong = abs(cost - found.cost) > 1e-9 * max(1.0, cost) or peak != found.peak_nbytes
    if wrong or (said and peak > case.budget_nbytes) or set(found.schedule) != set(range(len(case.graph.ops))):
        raise SystemExit(f"{case.name} at {case.budget_nbytes}: the answer's schedule is not what the answer says")


OURS: Mapping[str, Method] = {"ours": ours, "arena": arena}
RIVALS: Mapping[str, Method] = {
    "moccasin": partial(moccasin, as_published=False),
    "moccasin-authors": partial(moccasin, as_published=True),
    "checkmate": partial(checkmate, rounded=False),
    "rounding": partial(checkmate, rounded=True),
    "mincut": min_cut,
}

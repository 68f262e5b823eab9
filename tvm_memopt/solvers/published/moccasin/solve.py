"""MOCCASIN: rematerialisation by constraint programming over retention intervals.

Bartan, Li, Teague, Lott and Dilkina, ICML 2023 (arXiv 2304.14463). This is the reference against which the main solver
is compared. First runs keep the input order, as in the paper; only repeats are searched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tvm_memopt.errors import BudgetError
from tvm_memopt.graph import Graph
from tvm_memopt.solvers.cp_sat import CpSatOutcome, run_cp_sat
from tvm_memopt.solvers.published.moccasin.model import Encoding, MoccasinModel, build_moccasin, copies_per_op
from tvm_memopt.solvers.remat.outcome import BestSchedules, over_working_set, start
from tvm_memopt.solvers.remat.result import RematResult
from tvm_memopt.solvers.remat.scaling import scale_costs
from tvm_memopt.solvers.request import Deadline, Progress

_ENCODINGS = ("reservoir", "literals")


def solve_moccasin(
    graph: Graph,
    budget_nbytes: int,
    *,
    copies: int | Sequence[int] = 2,
    order: Sequence[int] | None = None,
    encoding: Encoding = "reservoir",
    log_lengths: bool = True,
    time_limit: float = 60.0,
    threads: int = 1,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
) -> RematResult:
    """Minimise the cost with at most ``copies`` runs per op and first runs in ``order`` (None: the given one).

    Search space, described by ``scope``: before each first run, any set of earlier ops runs once each, in the order.
    ``log_lengths``: as in the paper, round lengths up to a log-spaced set. This makes the search cheaper but
    conservative: only a cost equal to the base cost is reported optimal, and only a budget below a working set
    infeasible. Without it, the model is exact for every feature of the format.

    Raises BudgetError for an invalid budget, ``copies`` or encoding; PlanError for an order that is not topological.
    """
    clock = Deadline(time_limit)
    _check(graph, copies, encoding)
    incumbents = start(graph, budget_nbytes, order, clock)
    counts = copies_per_op(graph, copies)
    stats: dict[str, Any] = {"encoding": encoding, "log_lengths": log_lengths, "copies": copies, "phases": []}
    scope = f"first runs in the given order, each after any earlier ops once in that order, {_limit(copies)}"
    if over_working_set(graph, budget_nbytes):
        return incumbents.result(infeasible=True, bound=0.0, scope="every schedule", stats=stats)
    if incumbents.cheapest is not None:
        return incumbents.result(infeasible=False, bound=0.0, scope="every schedule", stats=stats)
    assert incumbents.lowest is not None
    built = build_moccasin(graph, incumbents.lowest[1], counts, encoding, log_lengths)
    stats["build_seconds"] = clock.elapsed
    tell = _reporter(incumbents, progress)
    infeasible, units, interrupted = _two_phases(built, incumbents, clock, tell, stats, threads=threads, seed=seed)
    proved = not log_lengths
    bound = graph.base_cost + scale_costs(graph).cost(units) if proved else graph.base_cost
    if not proved:
        stats["model_infeasible"] = infeasible
        stats["model_bound"] = graph.base_cost + scale_costs(graph).cost(units)
    result = incumbents.result(infeasible=infeasible and proved, bound=bound, scope=scope, stats=stats)
    return replace(result, interrupted=interrupted)


def _check(graph: Graph, copies: int | Sequence[int], encoding: str) -> None:
    counts = [copies] if isinstance(copies, int) else list(copies)
    if min(counts, default=1) < 1:
        raise BudgetError(f"copies is {min(counts)}, expected at least 1 run an op")
    if not isinstance(copies, int) and len(counts) != len(graph.ops):
        raise BudgetError(f"copies has {len(counts)} entries, expected one for each of the {len(graph.ops)} ops")
    if encoding not in _ENCODINGS:
        raise BudgetError(f"encoding is {encoding!r}, expected one of {_ENCODINGS}")


def _limit(copies: int | Sequence[int]) -> str:
    return f"at most {copies} runs an op" if isinstance(copies, int) else "each op at most as often as its copies"


def _reporter(incumbents: BestSchedules, progress: Callable[[Progress], None] | None) -> Callable[[str], None]:
    def tell(stage: str) -> None:
        if progress is not None:
            best = incumbents.cheapest
            progress(Progress(incumbents.clock.elapsed, stage, best[2] if best else None, None))

    return tell


def _two_phases(
    built: MoccasinModel,
    incumbents: BestSchedules,
    clock: Deadline,
    tell: Callable[[str], None],
    stats: dict[str, Any],
    *,
    threads: int,
    seed: int,
) -> tuple[bool, int, bool]:
    """First find any schedule within the budget; then, with it as a hint, the cheapest.

    Returns whether the model has no solution, a lower bound on the cost of repeats in units, and whether Ctrl-C ended
    it.
    """
    retention, model = built.retention, built.retention.model
    limit = incumbents.budget_nbytes // built.unit

    def offer(value: Callable[[Any], int]) -> None:
        if incumbents.offer(retention.schedule(value)):
            tell("moccasin, better schedule")

    def solve(name: str) -> CpSatOutcome:
        tell(f"moccasin, {name}")
        before = clock.elapsed
        found = run_cp_sat(model, clock, threads=threads, seed=seed, on_solution=offer)
        stats["phases"].append({"name": name, "status": found.status, "seconds": clock.elapsed - before})
        return found

    _hint_no_repeats(built)
    excess = model.new_int_var(limit, max(limit, _upper(built)), "")
    model.add(excess >= built.memory)
    model.minimize(excess)
    first = solve("phase 1, memory")
    if first.interrupted:
        return False, 0, True
    if first.objective is None or first.objective > limit:
        return first.bound > limit or first.status == "infeasible", 0, False
    hints = [(v, first.value(v)) for v in map(model.get_int_var_from_proto_index, range(len(model.proto.variables)))]
    model.clear_hints()
    for variable, value in hints:
        model.add_hint(variable, value)
    model.add(built.memory <= limit)
    model.minimize(built.repeats)
    second = solve("phase 2, cost")
    return second.status == "infeasible", second.bound, second.interrupted


def _hint_no_repeats(built: MoccasinModel) -> None:
    """Hint: every op once, every tensor kept to its last reader. This satisfies all constraints except memory."""
    retention, model = built.retention, built.retention.model
    for run in retention.all_runs():
        if run.index:
            model.add_hint(run.present, 0)
    for tensor, instances in retention.instances.items():
        readers = [retention.runs[op][0].start + 1 for op in retention.graph.readers[tensor]]
        end = max(
            [instances[0].start + 1, *readers, *([built.end_of_program] if instances[0].held is not None else [])]
        )
        model.add_hint(instances[0].end, end)
    for served in retention.serves.values():
        for index, (_, literal) in enumerate(served):
            model.add_hint(literal, index == 0)


def _upper(built: MoccasinModel) -> int:
    proto = built.retention.model.proto.variables[built.memory.index]
    return int(proto.domain[1])

"""OLLA's plan: order and addresses as integer programmes, one after the other or combined."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from tvm_memopt.errors import BudgetError
from tvm_memopt.graph import Graph, Lifetimes, Plan, check, given_order, lifetimes, working_set_bound
from tvm_memopt.graph.liveness import profile_of
from tvm_memopt.solvers import time_shares
from tvm_memopt.solvers.joint.pieces import Pieces, pieces_of
from tvm_memopt.solvers.layout import Placement, load_bound, place_greedily
from tvm_memopt.solvers.portfolio.fixed_order import assemble
from tvm_memopt.solvers.published.olla.location_rows import add_addresses
from tvm_memopt.solvers.published.olla.order_rows import add_loads, add_timetable, hint_order, spans_of
from tvm_memopt.solvers.published.olla.programme import Backend, Outcome, Programme, solve_programme
from tvm_memopt.solvers.published.olla.pyramid import pyramid
from tvm_memopt.solvers.request import Deadline, Request

Mode = Literal["joint", "two-phase"]
_MOST_CHOICES = 1_500_000  # pairs of pieces at one step; more take longer to build than most time limits


def solve_olla(
    graph: Graph,
    request: Request | None = None,
    *,
    mode: Mode = "joint",
    disabled: frozenset[str] = frozenset(),
    incumbent: Plan | None = None,
    backend: Backend = "cp-sat",
) -> Plan:
    """Return the plan of OLLA (arXiv 2210.12924) without rematerialisation, never worse than ``incumbent``.

    ``mode``: "joint" solves one programme, whose optimum is the smallest possible arena. "two-phase" is what its
    authors run: the order of lowest peak, then its addresses.
    ``disabled``: names from OLLA_SWITCHES.
    ``backend``: solver of the order in "two-phase" mode.

    It is meant for small graphs. For one that is too large, it returns the incumbent or the given order. Ctrl-C returns
    the best plan so far.
    """
    request = request or Request()
    if backend == "scip" and mode == "joint":
        raise BudgetError("OLLA: SCIP solves the order only; use mode='two-phase' or backend='cp-sat'")
    search = _Search(graph, request, disabled | request.disabled, backend)
    if incumbent is not None and sorted(incumbent.schedule) == list(range(len(graph.ops))):
        search.keep_plan(incumbent)
    if search.fits_memory and search.best.arena > search.goal:
        try:
            (_solve_joint if mode == "joint" else _solve_in_phases)(search)
        except KeyboardInterrupt:  # while building a programme
            search.interrupted = True
    plan = search.plan(mode)
    check(graph, plan)
    return plan


@dataclass(frozen=True)
class _Answer:
    order: tuple[int, ...]
    lives: Lifetimes
    offsets: tuple[int, ...]
    method: str

    @cached_property
    def arena(self) -> int:
        return max((x + b.nbytes for x, b in zip(self.offsets, self.lives.buffers, strict=True)), default=0)


@dataclass
class _Search:
    """``bound`` holds for every plan, ``order_bound`` for plans without rematerialisation."""

    graph: Graph
    request: Request
    disabled: frozenset[str]
    backend: Backend
    deadline: Deadline = field(init=False)
    best: _Answer = field(init=False)
    interrupted: bool = False

    def __post_init__(self) -> None:
        self.deadline = Deadline(self.request.time_limit)
        self.bound, self.bound_op = working_set_bound(self.graph)
        self.order_bound = self.bound
        self.best = self.placed(given_order(self.graph), "given")

    @cached_property
    def pieces(self) -> Pieces:
        return pieces_of(self.graph)

    @property
    def fits_memory(self) -> bool:
        return len(self.pieces.pieces) ** 2 // 2 * len(self.graph.ops) <= _MOST_CHOICES

    @property
    def goal(self) -> int:
        """Smaller arenas are not searched for."""
        return max(self.order_bound, self.request.budget_nbytes or 0)

    def placed(self, order: tuple[int, ...], method: str) -> _Answer:
        lives = lifetimes(self.graph, order)
        return _Answer(order, lives, place_greedily(lives, self.graph.alignment, self.deadline).offsets, method)

    def keep_plan(self, plan: Plan) -> None:
        lives = lifetimes(self.graph, plan.schedule)
        offset = {(a.tensor, a.first): a.offset for a in plan.allocations}
        self.keep(_Answer(plan.schedule, lives, tuple(offset[b.tensor, b.first] for b in lives.buffers), "incumbent"))

    def keep(self, answer: _Answer) -> None:
        if answer.arena < self.best.arena:
            self.best = answer

    def run(self, programme: Programme, backend: Backend, deadline: Deadline) -> Outcome:
        outcome = solve_programme(programme, backend, deadline, self.request.seed, self.request.threads)
        self.interrupted |= outcome.interrupted
        return outcome

    def plan(self, mode: Mode) -> Plan:
        best, bound = self.best, load_bound(self.best.lives, self.graph.alignment)
        return assemble(
            self.graph,
            best.order,
            best.lives,
            Placement(best.offsets, best.arena, bound, best.method),
            budget=self.request.budget_nbytes,
            bound=min(self.order_bound, best.arena),
            any_plan_bound=self.bound,
            solver=self._explanation(mode, bound),
        )

    def _explanation(self, mode: Mode, placement_bound: int) -> dict[str, Any]:
        return {
            "name": f"OLLA {mode}",
            "seconds": self.deadline.elapsed,
            "layout_method": self.best.method,
            "order_peak_nbytes": max(profile_of(self.best.lives), default=0),
            "order_bound_nbytes": self.order_bound,
            "placement_bound_nbytes": placement_bound,
            "working_set_op": self.bound_op,
            "too_large": not self.fits_memory,
            "interrupted": self.interrupted,
            "seed": self.request.seed,
        }


def _solve_joint(search: _Search) -> None:
    outcome = _solve_addresses(search, search.best, None, {}, search.goal)
    if not outcome.none and outcome.bound > search.goal:
        search.order_bound = outcome.bound
    elif search.goal == search.order_bound:
        search.order_bound = max(search.order_bound, outcome.bound)


def _solve_in_phases(search: _Search) -> None:
    start = _solve_order(search)
    if search.interrupted:
        return
    goal = max(search.goal, load_bound(start.lives, search.graph.alignment))
    search.keep(start)
    for fixed in ({}, None) if "pyramid" in search.disabled else (pyramid(search.pieces, start.order), {}):
        if fixed is None or start.arena <= goal or search.interrupted:
            return
        outcome = _solve_addresses(search, start, start.order, fixed, goal)
        if outcome.values is not None and search.best.arena <= goal:
            return


def _solve_order(search: _Search) -> _Answer:
    """Phase 1: the order with the lowest peak live bytes, its buffers placed greedily."""
    programme, pieces, known = Programme(), search.pieces, search.best
    peak_known = max(profile_of(known.lives), default=0)
    plain = working_set_bound(replace(search.graph, alignment=1))[0]
    sizes = [piece.nbytes for piece in pieces.pieces]
    unit = 1 if "common-divisor" in search.disabled else math.gcd(*sizes) or 1
    peak = programme.objective = programme.variable(-(-plain // unit), -(-peak_known // unit))
    table = add_timetable(programme, pieces, spans_of(pieces, search.disabled), search.disabled)
    add_loads(table, [size // unit for size in sizes], peak)
    if "hints" not in search.disabled:
        hint_order(table, known.order)
    outcome = search.run(
        programme, search.backend, search.deadline.within(search.request.time_limit * time_shares.OLLA_ORDER)
    )
    search.order_bound = max(search.order_bound, outcome.bound * unit)
    return known if outcome.values is None else search.placed(table.order(outcome.values), "greedy")


def _solve_addresses(
    search: _Search, start: _Answer, order: Sequence[int] | None, fixed: dict[int, int], goal: int
) -> Outcome:
    """Find addresses for ``order``, or for the best of all orders if None. A better answer is kept."""
    programme, pieces = Programme(), search.pieces
    arena = programme.objective = programme.variable(goal, start.arena)
    table = add_timetable(programme, pieces, spans_of(pieces, search.disabled, order), search.disabled)
    addresses, unit = add_addresses(table, arena, start.arena, search.disabled, fixed)
    if "load-rows" not in search.disabled:
        add_loads(table, [piece.nbytes for piece in pieces.pieces], arena)
    if "hints" not in search.disabled:
        placed = pieces.placed(start.lives, start.order, start.offsets)
        hint_order(table, start.order, dict(enumerate(placed)))
        programme.hints.update({v: x // unit for v, x in zip(addresses, placed, strict=True)})
    outcome = search.run(programme, "cp-sat", search.deadline)
    if outcome.values is not None:
        found = table.order(outcome.values)
        lives = lifetimes(search.graph, found)
        offsets = pieces.offsets(lives, found, [outcome.values[v] * unit for v in addresses])
        search.keep(_Answer(found, lives, tuple(offsets), "CP-SAT"))
    return outcome

"""Schedules from cuts: memory prices at which the kept tensors fit the budget, with few and with many sections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tvm_memopt.graph import Graph
from tvm_memopt.solvers.native import remat as native
from tvm_memopt.solvers.remat.cuts.division import Division, LazySchedule, lazy_schedule, widest_step
from tvm_memopt.solvers.remat.cuts.keep import KeepCut
from tvm_memopt.solvers.remat.cuts.sections import handed_on, section_starts
from tvm_memopt.solvers.request import Deadline

SECTIONS = 1, 17, 65, 5, 3, 9, 33, 2, 129
"""Numbers of sections to try, in this order."""

_COARSE = tuple(2.0**power for power in range(-7, 6))  # prices: graph cost over bytes at the division
_HALVINGS = 12  # of the ratio between a price that is too low and one that is not
_CLOSE = 0.999  # of the budget: above this, a plan does not need a finer price
_SETTLING = 2  # cuts at one price, each assuming the reads of the schedule before it
_REFINED = 3  # number of best section counts that are refined by prices over time
_STEPS = 40  # of the prices over time
_STRETCHES = 128  # of the order, each with the price of its fullest step
_STEP_SIZE, _STEP_DECAY = 0.5, 8.0
_TILT = 0.05  # later tensors count as slightly smaller, so that equal layers do not change together


@dataclass
class _State:
    """One plan: the ops to run again, their schedule, live bytes by position in the order, and the cost."""

    again: set[int]
    lazy: LazySchedule
    load: np.ndarray
    cost: float

    @property
    def peak(self) -> float:
        return float(self.load.max())


@dataclass
class _Keeping:
    division: Division
    problem: native.PackedRemat
    budget: int
    deadline: Deadline
    flag: np.ndarray
    take: Callable[[tuple[int, ...]], None]
    best: tuple[bool, float] = (True, np.inf)

    def __post_init__(self) -> None:
        graph, division = self.division.graph, self.division
        self.cut = KeepCut(division)
        self.base_runnable = self.cut.runnable.copy()
        self.weights = 1 - _TILT * (1 - division.made_at / max(1, division.step))
        wanted = float(division.nbytes[division.wanted].sum())
        self.unit = (graph.base_cost or 1.0) / max(1.0, wanted)
        self.costs = np.array([op.cost for op in graph.ops])

    @property
    def stopped(self) -> bool:
        return bool(self.flag[0]) or self.deadline.passed

    def state(self, again: set[int]) -> _State:
        """The plan in which the ops ``again`` run again. It is handed out if it is the best so far."""
        lazy = lazy_schedule(self.division, again)
        load = np.zeros(len(self.division.order))
        np.maximum.at(load, lazy.places, native.profile(self.problem, lazy.steps))
        found = _State(again, lazy, load, float(self.costs[list(lazy.steps)].sum()))
        rank = self.rank(found)
        if rank < self.best:
            self.best = rank
            self.take(lazy.steps)
        return found

    def rank(self, state: _State) -> tuple[bool, float]:
        over = state.peak > self.budget
        return over, state.peak if over else state.cost

    def next(self, before: _State, prices: np.ndarray) -> _State:
        return self.state(self.cut.again(prices, self.weights, before.lazy, before.again))


@dataclass
class _Sectioned:
    """Result of one price at the dividing step, for one number of sections."""

    sections: int
    price: float
    state: _State
    rank: tuple[bool, float]


def keep_schedules(
    graph: Graph,
    order: Sequence[int],
    budget_nbytes: int,
    deadline: Deadline,
    flag: np.ndarray,
    take: Callable[[tuple[int, ...]], None],
) -> None:
    """Divide ``order`` at its widest step and keep the tensors across it that are worth their bytes.

    ``take`` is called with ever better schedules: a better one costs less within the budget, or has a lower peak while
    none is within it. Needs the native library. Ends at ``deadline`` or when ``flag[0]`` is set.
    """
    step, problem = widest_step(graph, order), native.packed_remat(graph)
    if problem is None or step < 2:
        return
    division = Division(graph, order, step)
    if not division.wanted.any():
        return
    keeping = _Keeping(division, problem, budget_nbytes, deadline, flag, take)
    tried: list[_Sectioned] = []
    for sections in SECTIONS:
        if keeping.stopped:
            break
        if sections > step:
            continue
        tried.append(_priced(keeping, sections))
    tried.sort(key=lambda found: found.rank)
    for found in tried[:_REFINED]:
        _refine(keeping, found)


def _divide(keeping: _Keeping, sections: int) -> None:
    forbidden = handed_on(keeping.division, section_starts(keeping.division, sections))
    keeping.cut.runnable = keeping.base_runnable & ~forbidden


def _priced(keeping: _Keeping, sections: int) -> _Sectioned:
    """The lowest price at the dividing step that keeps the budget, found by doubling, then bisection."""
    _divide(keeping, sections)
    state = keeping.state(set())
    best = _Sectioned(sections, keeping.unit, state, keeping.rank(state))
    low, high = 0.0, 0.0
    for ratio in _COARSE:
        if high or keeping.stopped:
            break
        state = _settled(keeping, best, ratio * keeping.unit, state)
        low, high = (low, ratio) if state.peak <= keeping.budget else (ratio, high)
    for _ in range(_HALVINGS if low and high else 0):
        if keeping.stopped or best.state.peak > _CLOSE * keeping.budget:
            break
        ratio = (low * high) ** 0.5
        state = _settled(keeping, best, ratio * keeping.unit, state)
        low, high = (low, ratio) if state.peak <= keeping.budget else (ratio, high)
    return best


def _settled(keeping: _Keeping, best: _Sectioned, price: float, state: _State) -> _State:
    """The plan at one price, starting from ``state``. ``best`` is replaced if the plan is better."""
    prices = np.zeros(len(keeping.division.order))
    prices[keeping.division.step - 1] = price
    for _ in range(_SETTLING):
        state = keeping.next(state, prices)
        rank = keeping.rank(state)
        if rank < best.rank:
            best.price, best.state, best.rank = price, state, rank
    return state


def _refine(keeping: _Keeping, start: _Sectioned) -> None:
    """Adjust prices over time by subgradient steps: raise them at steps over the budget, lower them below it."""
    _divide(keeping, start.sections)
    state, end = start.state, len(keeping.division.order)
    prices = np.zeros(end)
    prices[keeping.division.step - 1] = start.price
    for number in range(_STEPS):
        if keeping.stopped:
            return
        over = (state.load - keeping.budget) / keeping.budget
        chosen = prices > 0
        chosen[_fullest(over)] = True
        size = start.price * _STEP_SIZE / (1 + number / _STEP_DECAY)
        prices = np.where(chosen, np.maximum(0.0, prices + size * np.clip(over, -1, 1)), prices)
        state = keeping.next(state, prices)


def _fullest(load: np.ndarray) -> np.ndarray:
    """The fullest position of each stretch."""
    width = -(-len(load) // _STRETCHES)
    padded = np.full(width * -(-len(load) // width), -np.inf)
    padded[: len(load)] = load
    rows = padded.reshape(-1, width)
    return np.asarray(rows.argmax(1) + width * np.arange(len(rows)))

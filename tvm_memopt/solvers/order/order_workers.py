"""The workers of the order search. In each round, every thread works on the segment that sets the peak.

Time slices are counted in work, not in seconds, and the results of a round are merged in the order of the workers.
Unless the deadline ends the search, the order depends only on the seed and the thread count.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tvm_memopt.solvers import time_shares
from tvm_memopt.solvers.native import order as native
from tvm_memopt.solvers.order.segments import SearchState, Segment
from tvm_memopt.solvers.request import Deadline

_CUT_OPS = 20_000  # larger segments get no cuts: their precedences are a square bit matrix
_BRANCH_OPS = 4_000  # branching stores one such matrix per level
_POLL_SECONDS = 0.01
_SECOND = native.WORK_PER_SECOND
_WORK_PER_MOVE = 120  # of annealing
_FIRST_DECIDE_WORK = _SECOND // 40
_DECIDE_GROWTH = 4
_FIRST_BRANCH_WORK = _SECOND // 5
_BRANCH_GROWTH = 5
_ANNEAL_WORK_PER_OP = _SECOND // 3_000
_LEAST_ANNEAL_WORK = _SECOND // 50
_ANNEAL_GROWTH = 1.5
_MOST_GROWTHS = 60
_MOST_ANNEAL_WORK = 10 * _SECOND
_MOST_WORK = 2**60
_IMPROVEMENTS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.005, 0.0)  # fractions of the gap, tried as targets, boldest first


@dataclass
class SharedSearch:
    """State shared by the workers."""

    state: SearchState
    deadline: Deadline
    disabled: frozenset[str]
    flag: np.ndarray
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def stopped(self) -> bool:
        """Whether no more work may be started."""
        return bool(self.flag[0]) or self.deadline.passed


@dataclass
class SegmentTask:
    """One worker's part of a round, with its own copy of the segment's best order, peak and bound."""

    segment: Segment
    order: np.ndarray
    peak: int
    bound: int
    work: int
    found_by: str = ""
    failure: BaseException | None = None

    @property
    def proved(self) -> bool:
        """Whether the segment is solved to optimality."""
        return self.peak <= self.bound


@dataclass
class SegmentPlan:
    """Progress of one worker on one segment."""

    seed: int
    turn: int = 0
    rung: int = 0
    decide_work: int = _FIRST_DECIDE_WORK
    branch_work: int = _FIRST_BRANCH_WORK
    middle: bool = False
    anneals: int = 0


class Worker:
    """One thread, which tries its methods in turn."""

    def __init__(self, crew: SharedSearch, seed: int, ideas: list[str]) -> None:
        self.crew = crew
        self.flag = native.new_flag()
        self.done = threading.Event()
        self._seed = seed
        self.ideas = ideas
        self._plans: dict[int, SegmentPlan] = {}

    def slice_of(self, segment: Segment) -> int:
        """The work that one turn of all methods would take."""
        plan = self._plan(segment)
        return sum(_SLICES[idea](plan, segment) for idea in self.ideas)

    def run(self, task: SegmentTask) -> None:
        """Try methods in turn until the work of the round is spent or the segment is solved."""
        plan, left = self._plan(task.segment), task.work
        try:
            while not (task.proved or self.flag[0] or self.crew.deadline.passed):
                idea = self._next(plan, task.segment, left)
                if idea is None:
                    break
                left -= _IDEAS[idea](self, plan, task)
                self.crew.counts[idea] += 1
        except BaseException as error:
            task.failure = error
        finally:
            self.done.set()

    def _next(self, plan: SegmentPlan, segment: Segment, left: int) -> str | None:
        """The next method in turn whose slice fits into the rest of the round."""
        for step in range(len(self.ideas)):
            idea = self.ideas[(plan.turn + step) % len(self.ideas)]
            if 0 < _SLICES[idea](plan, segment) <= left:
                plan.turn += step + 1
                return idea
        return None

    def options(self, *, forcing: bool, work: int) -> native.DecideOptions:
        """Options of decide() with the enabled techniques."""
        off = self.crew.disabled
        return native.DecideOptions(
            safe_moves="safe-ops" not in off,
            valleys="valleys" not in off,
            both_ends="both-ends" not in off,
            forcing=forcing,
            branching="branching" not in off,
            work=work,
        )

    def _plan(self, segment: Segment) -> SegmentPlan:
        return self._plans.setdefault(id(segment), SegmentPlan(self._seed))


def bound_segments(crew: SharedSearch) -> None:
    """Compute step bounds of the segments, the one that sets the peak first, while they can matter."""
    state, deadline = crew.state, crew.deadline
    work = int(time_shares.ORDER_BOUND * (deadline.ends - deadline.started) * _SECOND)
    for segment in sorted(state.segments, key=lambda s: -s.peak):
        if segment.peak <= state.bound or work <= 0 or crew.stopped:
            return
        if segment.size <= _CUT_OPS:
            bound, done = native.step_bound(
                state.problem, state.order, segment.window, work, deadline.remaining, crew.flag
            )
            work -= done
            state.raise_bound(segment, bound)


def make_workers(crew: SharedSearch, seed: int, threads: int) -> list[Worker]:
    """One worker per thread: the first one proves, the others anneal, and the third also searches."""
    exact = [idea for idea in ("decide", "branch") if _is_on(idea, crew.disabled)]
    anneal = ["anneal"] if _is_on("anneal", crew.disabled) else []
    if threads == 1:
        teams = [exact + anneal]
    else:
        teams = [exact or anneal, *([anneal or exact] * (threads - 1))]
        if threads > 2:
            teams[2] = exact[:1] + anneal
    return [Worker(crew, seed + 1000 * i, ideas) for i, ideas in enumerate(teams) if ideas]


def play_round(workers: list[Worker], crew: SharedSearch) -> None:
    """Let every worker work on the segment that sets the peak, then merge their results.

    Results are merged in the order of the workers, so that it does not matter which one ends first. A proof stops the
    workers after it.
    """
    segment, _ = crew.state.worst()
    work = max(worker.slice_of(segment) for worker in workers)
    tasks = [_start(worker, segment, work) for worker in workers]
    try:
        for index, (worker, task) in enumerate(zip(workers, tasks, strict=True)):
            _await(worker, workers, crew)
            if task.failure is not None:
                raise task.failure
            crew.state.improve(segment, task.order, task.peak, task.found_by)
            crew.state.raise_bound(segment, task.bound)
            if task.proved:
                _stop(workers[index + 1 :])
                return
    finally:  # Ctrl-C in this thread must not leave searches running
        _stop(workers)


def _start(worker: Worker, segment: Segment, work: int) -> SegmentTask:
    state = worker.crew.state
    task = SegmentTask(segment, state.order.copy(), segment.peak, max(segment.bound, state.bound), work)
    worker.flag[0] = 0
    worker.done.clear()
    threading.Thread(target=worker.run, args=(task,), daemon=True).start()
    return task


def _await(worker: Worker, workers: list[Worker], crew: SharedSearch) -> None:
    while not worker.done.wait(_POLL_SECONDS):
        if crew.flag[0]:
            for other in workers:
                other.flag[0] = 1


def _stop(workers: list[Worker]) -> None:
    for worker in workers:
        worker.flag[0] = 1
    for worker in workers:
        worker.done.wait()


def _is_on(idea: str, disabled: frozenset[str]) -> bool:
    needs = {"decide": {"exact-order"}, "branch": {"exact-order", "forcing"}, "anneal": {"annealing"}}
    return not needs[idea] & disabled


def _decide(worker: Worker, plan: SegmentPlan, task: SegmentTask) -> int:
    """Search for a smaller peak by depth-first search with a work limit, boldest targets first."""
    target = task.peak - max(1, int((task.peak - task.bound) * _IMPROVEMENTS[plan.rung]))
    verdict, work = _ask(worker, task, target, worker.options(forcing=False, work=plan.decide_work))
    if verdict is not native.Verdict.FEASIBLE:
        plan.rung += 1
    if plan.rung == len(_IMPROVEMENTS):
        plan.rung, plan.decide_work = 0, min(_DECIDE_GROWTH * plan.decide_work, _MOST_WORK)
    return work


def _branch(worker: Worker, plan: SegmentPlan, task: SegmentTask) -> int:
    """Refute the next smaller peak and, from time to time, one in the middle of the gap to raise the bound."""
    target = task.peak - max(1, (task.peak - task.bound) // 2 if plan.middle else 1)
    verdict, work = _ask(worker, task, target, worker.options(forcing=True, work=plan.branch_work))
    if plan.middle and verdict is native.Verdict.UNKNOWN:
        plan.branch_work = min(_BRANCH_GROWTH * plan.branch_work, _MOST_WORK)
    plan.middle = verdict is not native.Verdict.UNKNOWN if plan.middle else not plan.middle
    return work


def _ask(worker: Worker, task: SegmentTask, target: int, options: native.DecideOptions) -> tuple[native.Verdict, int]:
    problem, window = worker.crew.state.problem, task.segment.window
    seconds = worker.crew.deadline.remaining
    verdict, bound, work = native.decide(problem, task.order, window, target, options, seconds, worker.flag)
    if verdict is native.Verdict.FEASIBLE:
        task.peak = int(native.profile(problem, task.order)[window.first : window.last].max())
        task.found_by = "branching" if options.forcing else "exact search"
    task.bound = min(max(task.bound, bound), task.peak)
    return verdict, work


def _anneal(worker: Worker, plan: SegmentPlan, task: SegmentTask) -> int:
    """Anneal from the best order, a little longer each time."""
    work = task.work if len(worker.ideas) == 1 else _anneal_slice(plan, task.segment)
    options = native.AnnealOptions(
        smooth="smooth-peak" not in worker.crew.disabled,
        block_moves="block-moves" not in worker.crew.disabled,
        moves=_moves(work, worker.crew.deadline),
        seed=plan.seed + plan.anneals,
        target=task.bound,
    )
    plan.anneals += 1
    problem, window = worker.crew.state.problem, task.segment.window
    peak, moves = native.anneal(problem, task.order, window, options, worker.crew.deadline.remaining, worker.flag)
    worker.crew.counts["anneal moves"] += moves
    if peak < task.peak:
        task.peak, task.found_by = peak, "annealing"
    return work


def _moves(work: int, deadline: Deadline) -> int:
    """Number of moves worth ``work``; fewer near the deadline, so that the temperature still falls to its end."""
    return max(1, min(work, int(deadline.remaining * _SECOND)) // _WORK_PER_MOVE)


def _anneal_slice(plan: SegmentPlan, segment: Segment) -> int:
    first = max(_LEAST_ANNEAL_WORK, _ANNEAL_WORK_PER_OP * segment.size)
    return int(min(first * _ANNEAL_GROWTH ** min(plan.anneals, _MOST_GROWTHS), max(first, _MOST_ANNEAL_WORK)))


_IDEAS: dict[str, Callable[[Worker, SegmentPlan, SegmentTask], int]] = {
    "decide": _decide,
    "branch": _branch,
    "anneal": _anneal,
}
_SLICES: dict[str, Callable[[SegmentPlan, Segment], int]] = {
    "decide": lambda plan, _: plan.decide_work,
    "branch": lambda plan, segment: plan.branch_work if segment.size <= _BRANCH_OPS else 0,
    "anneal": _anneal_slice,
}

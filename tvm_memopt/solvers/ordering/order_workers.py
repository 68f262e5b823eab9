"""The workers of the order search: each thread takes the segment that sets the peak and tries its ideas in turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import cycle

import numpy as np

from tvm_memopt.solvers.native import ordering as native
from tvm_memopt.solvers.ordering.segments import SearchState, Segment
from tvm_memopt.solvers.request import Deadline

_CUT_OPS = 20_000  # larger segments get no cuts: their precedences are a square matrix of bits
_BRANCH_OPS = 4_000  # branching keeps one such matrix for each level
_BOUND_SHARE = 0.3  # of the time, for the first bounds
_FIRST_STATES = 20_000
_MOST_STATES = 2**40
_FIRST_BRANCH_SECONDS = 0.2
_BRANCH_GROWTH = 5.0
_FIRST_ANNEAL_SECONDS_PER_OP = 3e-4
_LEAST_ANNEAL_SECONDS = 0.02
_ANNEAL_GROWTH = 1.5
_LONGEST_ANNEAL_SECONDS = 10.0
_IMPROVEMENTS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.005, 0.0)  # of the gap, tried as targets from the bold one down


@dataclass
class Crew:
    """What the workers have in common."""

    state: SearchState
    deadline: Deadline
    disabled: frozenset[str]
    stopped: bool = False
    workers: list[Worker] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[BaseException] = field(default_factory=list)

    def stop(self) -> None:
        """End all native calls that run."""
        self.stopped = True
        for worker in self.workers:
            worker.flag[0] = 1

    def release_settled(self) -> None:
        """End the calls on segments that no longer set the peak, or whose target was met by another worker."""
        for worker in self.workers:
            segment = worker.segment
            if segment is not None and (self.state.settled(segment) or segment.peak < worker.overtaken_at):
                worker.flag[0] = 1


class Worker:
    """One thread. ``ideas`` are tried in turn on a copy of the order; each says whether it could work at all."""

    def __init__(self, crew: Crew, seed: int, ideas: list[str]) -> None:
        self.crew = crew
        self.flag = native.new_flag()
        self.segment: Segment | None = None
        self.overtaken_at = 0
        self._seed = seed
        self._ideas = ideas
        self._plans: dict[int, SegmentPlan] = {}

    def run(self) -> None:
        """Work until the crew is stopped or no idea is left."""
        try:
            idle = 0
            for idea in cycle(self._ideas):
                segment, order = self.crew.state.worst()
                if self.crew.state.settled(segment) or self.crew.deadline.passed:
                    return
                self.overtaken_at, self.segment, self.flag[0] = 0, segment, 0
                if self.crew.stopped:  # asked after the flag was cleared, so that no stop is lost
                    return
                plan = self._plans.setdefault(id(segment), SegmentPlan(self._seed))
                worked = _IDEAS[idea](self, plan, segment, order)
                self.crew.counts[idea] += worked
                self.segment = None
                idle = 0 if worked else idle + 1
                if idle == len(self._ideas):
                    return
        except BaseException as error:
            self.crew.failures.append(error)

    @property
    def seconds(self) -> float:
        """What is left of the time."""
        return self.crew.deadline.remaining

    def options(self, *, forcing: bool, states: int) -> native.DecideOptions:
        """Options of decide() with the tricks that are on."""
        off = self.crew.disabled
        return native.DecideOptions(
            safe_moves="safe-ops" not in off,
            valleys="valleys" not in off,
            both_ends="both-ends" not in off,
            forcing=forcing,
            branching="branching" not in off,
            states=states,
        )


@dataclass
class SegmentPlan:
    """How far one worker has gone on one segment."""

    seed: int
    rung: int = 0
    states: int = _FIRST_STATES
    branch_seconds: float = _FIRST_BRANCH_SECONDS
    middle: bool = False
    anneals: int = 0


def bound_segments(crew: Crew, flag: np.ndarray) -> None:
    """Step bounds of the segments, the one that sets the peak first, until they cannot matter."""
    state, deadline = crew.state, crew.deadline.within(_BOUND_SHARE * crew.deadline.remaining)
    for segment in sorted(state.segments, key=lambda s: -s.peak):
        if segment.peak <= state.bound or deadline.passed or flag[0]:
            return
        if segment.size <= _CUT_OPS:
            bound = native.step_bound(state.problem, state.order, segment.window, deadline.remaining, flag)
            state.raise_bound(segment, bound)


def make_workers(crew: Crew, seed: int, threads: int) -> list[Worker]:
    """One worker for each thread: the first one proves, the others anneal, the third searches too."""
    exact = [idea for idea in ("decide", "branch") if _is_on(idea, crew.disabled)]
    anneal = ["anneal"] if _is_on("anneal", crew.disabled) else []
    if threads == 1:
        teams = [exact + anneal]
    else:
        teams = [exact or anneal, *([anneal or exact] * (threads - 1))]
        if threads > 2:
            teams[2] = exact[:1] + anneal
    crew.workers = [Worker(crew, seed + 1000 * i, ideas) for i, ideas in enumerate(teams) if ideas]
    return crew.workers


def _is_on(idea: str, disabled: frozenset[str]) -> bool:
    needs = {"decide": {"exact-order"}, "branch": {"exact-order", "forcing"}, "anneal": {"annealing"}}
    return not needs[idea] & disabled


def _decide(worker: Worker, plan: SegmentPlan, segment: Segment, order: np.ndarray) -> bool:
    """Look for a smaller peak by depth-first search with a limit on its states, bold targets first."""
    gap = segment.peak - segment.bound
    target = segment.peak - max(1, int(gap * _IMPROVEMENTS[plan.rung]))
    worker.overtaken_at = target + 1
    options = worker.options(forcing=False, states=plan.states)
    verdict = _ask(worker, segment, order, target, options, worker.seconds)
    if verdict is not native.Verdict.FEASIBLE:
        plan.rung += 1
    if plan.rung == len(_IMPROVEMENTS):
        plan.rung, plan.states = 0, min(4 * plan.states, _MOST_STATES)
    return True


def _branch(worker: Worker, plan: SegmentPlan, segment: Segment, order: np.ndarray) -> bool:
    """Refute the next better peak, and from time to time one in the middle of the gap, for the bound."""
    if segment.size > _BRANCH_OPS:
        return False
    gap = segment.peak - segment.bound
    target = segment.peak - max(1, gap // 2 if plan.middle else 1)
    worker.overtaken_at = target + 1
    seconds = min(plan.branch_seconds, worker.seconds)
    options = worker.options(forcing=True, states=_FIRST_STATES)
    verdict = _ask(worker, segment, order, target, options, seconds)
    if plan.middle and verdict is native.Verdict.UNKNOWN:
        plan.branch_seconds *= _BRANCH_GROWTH
    plan.middle = verdict is not native.Verdict.UNKNOWN if plan.middle else not plan.middle
    return True


def _ask(
    worker: Worker,
    segment: Segment,
    order: np.ndarray,
    target: int,
    options: native.DecideOptions,
    seconds: float,
) -> native.Verdict:
    state = worker.crew.state
    verdict, bound = native.decide(state.problem, order, segment.window, target, options, seconds, worker.flag)
    if verdict is native.Verdict.FEASIBLE:
        window = slice(segment.window.first, segment.window.last)
        peak = int(native.profile(state.problem, order)[window].max())
        state.improve(segment, order, peak, "branching" if options.forcing else "exact search")
    state.raise_bound(segment, bound)
    return verdict


def _anneal(worker: Worker, plan: SegmentPlan, segment: Segment, order: np.ndarray) -> bool:
    """Anneal from the best order, a little longer each time."""
    first = max(_LEAST_ANNEAL_SECONDS, _FIRST_ANNEAL_SECONDS_PER_OP * segment.size)
    seconds = min(first * _ANNEAL_GROWTH**plan.anneals, max(first, _LONGEST_ANNEAL_SECONDS), worker.seconds)
    options = native.AnnealOptions(
        smooth="smooth-peak" not in worker.crew.disabled,
        block_moves="block-moves" not in worker.crew.disabled,
        seed=plan.seed + plan.anneals,
        target=segment.bound,
    )
    plan.anneals += 1
    state = worker.crew.state
    peak, moves = native.anneal(state.problem, order, segment.window, options, seconds, worker.flag)
    worker.crew.counts["anneal moves"] += moves
    state.improve(segment, order, peak, "annealing")
    return True


_IDEAS: dict[str, Callable[[Worker, SegmentPlan, Segment, np.ndarray], bool]] = {
    "decide": _decide,
    "branch": _branch,
    "anneal": _anneal,
}

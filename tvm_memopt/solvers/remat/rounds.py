"""Rounds of annealing: in each, every thread anneals from its own start. Results do not depend on timing."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tvm_memopt.solvers import time_shares
from tvm_memopt.solvers.native import remat as native
from tvm_memopt.solvers.request import Deadline

_POLL_SECONDS = 0.005
_RESTARTS = ((0.02, 0.1), (0.004, 0.1), (0.03, 1.0), (0.01, 0.01), (0.002, 0.3), (0.05, 0.1))  # (hot, weight)
_REHEATS = (0.001, 0.0003, 0.003, 0.0001)  # hot


@dataclass(frozen=True)
class AnnealingTask:
    """One thread's part of a round."""

    schedule: tuple[int, ...]
    options: native.AnnealOptions


class AnnealingPool:
    """State shared by the rounds: the packed problem, its limits, and the speed of the annealer so far."""

    def __init__(self, problem: native.PackedRemat, budget: int, deadline: Deadline, flag: np.ndarray) -> None:
        self.problem, self.budget, self.deadline, self.flag = problem, budget, deadline, flag
        self.moves = 0
        self.rate = 0.0  # moves per second and thread

    @property
    def stopped(self) -> bool:
        """Whether time has run out or the search was told to end."""
        return bool(self.flag[0]) or self.deadline.passed

    def play(self, tasks: Sequence[AnnealingTask]) -> list[tuple[int, ...]]:
        """Anneal all tasks at once, one thread each. Returns their schedules in the order of the tasks."""
        tasks = [replace(task, options=self._within_time(task.options)) for task in tasks]
        found: list[tuple[int, ...]] = [task.schedule for task in tasks]
        failures: list[BaseException] = []
        started = time.monotonic()

        def work(index: int, task: AnnealingTask) -> None:
            try:
                limits = task.options, self.deadline.remaining, self.flag
                found[index], made = native.anneal(self.problem, task.schedule, self.budget, *limits)
                spent = max(1e-4, time.monotonic() - started)
                self.moves += made
                self.rate = made / spent if made else self.rate
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=item, daemon=True) for item in enumerate(tasks)]
        for thread in threads:
            thread.start()
        self._await(threads)
        if failures:
            raise failures[0]
        return found

    def _await(self, threads: Sequence[threading.Thread]) -> None:
        try:
            while any(thread.is_alive() for thread in threads):
                time.sleep(_POLL_SECONDS)
        except KeyboardInterrupt:
            self.flag[0] = 1  # the annealers end soon and keep their best
            for thread in threads:
                thread.join()

    def _within_time(self, options: native.AnnealOptions) -> native.AnnealOptions:
        """Reduce the moves if time would cut them short: an interrupted temperature schedule ends too hot."""
        if not self.rate:
            return options
        most = int(time_shares.LAST_ROUND * self.deadline.remaining * self.rate)
        return replace(options, moves=min(options.moves, max(1, most)))


def restart_tasks(
    starts: Sequence[tuple[int, ...]], base: native.AnnealOptions, first: int, threads: int, seed: int
) -> list[AnnealingTask]:
    """Tasks that anneal anew, each from another start and temperature. ``first`` is the number of tasks before."""
    tasks = []
    for number in range(first, first + threads):
        hot, weight = _RESTARTS[number % len(_RESTARTS)]
        options = replace(base, hot=hot, weight=weight, seed=_seed(seed, number))
        tasks.append(AnnealingTask(starts[number % len(starts)], options))
    return tasks


def reheat_tasks(
    starts: Sequence[tuple[int, ...]], base: native.AnnealOptions, first: int, threads: int, seed: int
) -> list[AnnealingTask]:
    """Tasks that continue from the best schedules, at a slightly raised temperature."""
    tasks = []
    for number in range(first, first + threads):
        options = replace(base, hot=_REHEATS[number % len(_REHEATS)], seed=_seed(seed, number) ^ 1)
        tasks.append(AnnealingTask(starts[(number - first) % min(2, len(starts))], options))
    return tasks


def _seed(seed: int, number: int) -> int:
    return (seed * 1_000_003 + number) * 2 % 2**62

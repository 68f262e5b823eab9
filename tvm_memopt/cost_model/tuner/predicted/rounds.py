"""The search for all kernels of a model in several processes: a short one of each, then longer ones of the heavy."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import tvm

from tvm_memopt.cost_model.data.programs import Task
from tvm_memopt.cost_model.measure.worker_pool import WorkerPool
from tvm_memopt.cost_model.tuner.predicted.cache import found_from_json
from tvm_memopt.cost_model.tuner.predicted.choices import Found
from tvm_memopt.cost_model.tuner.predicted.worker import COMMAND
from tvm_memopt.passes.tir.cost import estimated_costs

_FIRST = ((0.02, 96), (0.002, 32), (0.0, 12))
"""Candidates of a kernel in the first round, by its least share of the model's run time by the roofline."""
_LATER, _LATER_ROUNDS = 384, 4  # candidates of a heavy kernel in later rounds
_LATER_SHARE = 0.01  # of the model's run time, by prediction: from this, a kernel is heavy
_LATER_GAIN = 0.98  # of a kernel's time: a round that saves less is its last
_LEAST_SECONDS = 1.0  # for a kernel, if all have a fair share of the time
_FAIR = 4.0  # fair shares that a kernel may take

Watch: TypeAlias = Callable[[int, int, float], None]
"""Called with the number of kernels searched, of all kernels, and the seconds left."""


@dataclass
class Searched:
    """``found``: by name of the task. ``causes``: why kernels have no result, by name."""

    found: dict[str, Found] = field(default_factory=dict)
    causes: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False


@dataclass(frozen=True)
class SearchOptions:
    """``seconds``: wall time of the search; ``workers``: processes; ``checkpoint``: file of the network."""

    seconds: float
    workers: int
    checkpoint: Path
    seed: int = 0


def search_tasks(
    tasks: Sequence[Task], target: tvm.target.Target, options: SearchOptions, keep: Callable[[Task, Found], None],
    watch: Watch | None = None,
) -> Searched:  # fmt: skip
    """Search until all rounds are done, the time is over or Ctrl-C is pressed. ``keep``: called with each result."""
    with TemporaryDirectory() as folder, WorkerPool(options.workers, options.seconds, COMMAND) as pool:
        search = _Search(tasks, target, options, Path(folder), pool, keep, watch)
        try:
            search.run()
        except KeyboardInterrupt:
            search.result.interrupted = True
    return search.result


class _Search:
    """One call of search_tasks."""

    def __init__(
        self, tasks: Sequence[Task], target: tvm.target.Target, options: SearchOptions, folder: Path, pool: WorkerPool,
        keep: Callable[[Task, Found], None], watch: Watch | None,
    ) -> None:  # fmt: skip
        self.ends = time.monotonic() + options.seconds
        self.tasks, self.target, self.options = tasks, tvm.ir.save_json(target), options
        self.folder, self.pool, self.keep, self.watch = folder, pool, keep, watch
        self.result = Searched()
        self.starts: dict[str, list[Any]] = {}  # as in SearchResult, by name of the task
        functions = {task.name: task.mod["main"] for task in tasks}
        costs = estimated_costs(functions, target)
        self.costs = {task.name: costs[task.name] * task.weight for task in tasks}
        for number, task in enumerate(tasks):
            (folder / f"{number}.json").write_text(tvm.ir.save_json(task.mod), encoding="utf-8")

    def run(self) -> None:
        total = sum(self.costs.values())
        order = sorted(range(len(self.tasks)), key=lambda number: -self.costs[self.tasks[number].name])
        shares = {number: self.costs[self.tasks[number].name] / total if total else 0.0 for number in order}
        self._round([(n, next(most for least, most in _FIRST if shares[n] >= least)) for n in order], 0)
        active = set(order)
        for number in range(1, _LATER_ROUNDS + 1):
            before = {n: self._seconds(n) for n in self._heavy() if n in active}
            if not before or time.monotonic() >= self.ends:
                return
            self._round([(n, _LATER) for n in before], number)
            active = {n for n, seconds in before.items() if self._seconds(n) < _LATER_GAIN * seconds}

    def _seconds(self, number: int) -> float:
        """Predicted run time of all calls of a kernel."""
        task = self.tasks[number]
        found = self.result.found.get(task.name)
        return found.best().seconds * task.weight if found is not None else 0.0

    def _heavy(self) -> list[int]:
        """Kernels that take much of the predicted run time, those that take most first."""
        seconds = {number: self._seconds(number) for number in range(len(self.tasks))}
        least = _LATER_SHARE * sum(seconds.values())
        return sorted((n for n in seconds if seconds[n] > 0 and seconds[n] >= least), key=lambda n: -seconds[n])

    def _round(self, jobs: list[tuple[int, int]], number: int) -> None:
        """Search the kernels of ``jobs``, each with its number of candidates, as far as the time goes."""
        waiting: dict[Future[Any], Task] = {}
        left = list(jobs)
        while left or waiting:
            while left and len(waiting) < self.options.workers:
                task, most = left.pop(0)
                waiting[self.pool.submit(self._request(task, most, number, len(left) + 1))] = self.tasks[task]
            seconds = self.ends - time.monotonic()
            done, _ = wait(waiting, timeout=max(seconds, 0.0), return_when=FIRST_COMPLETED)
            if not done:
                return  # the time is over; leaving the pool ends its processes
            for future in done:
                self._take(waiting.pop(future), future.result())
            if self.watch is not None:
                self.watch(len(self.result.found), len(self.tasks), self.ends - time.monotonic())

    def _request(self, number: int, candidates: int, round_number: int, remaining: int) -> Any:
        """A search with a fair share of the time. It ends a little before the time does, to hand in what it has."""
        task, left = self.tasks[number], self.ends - time.monotonic()
        fair = max(_LEAST_SECONDS, _FAIR * left * self.options.workers / remaining)
        others = [start for name, starts in self.starts.items() if name != task.name for start in starts[:1]]
        return {
            "module": str(self.folder / f"{number}.json"), "target": self.target, "candidates": candidates,
            "seconds": min(fair, left - min(2.0, 0.1 * left)), "starts": [*self.starts.get(task.name, ()), *others],
            "checkpoint": str(self.options.checkpoint), "seed": self.options.seed * 1009 + number + 7919 * round_number,
        }  # fmt: skip

    def _take(self, task: Task, reply: Any) -> None:
        if "found" not in reply:
            self.result.causes.setdefault(task.name, reply.get("error", "no result"))
            return
        found, earlier = found_from_json(reply["found"]), self.result.found.get(task.name)
        self.result.found[task.name] = found if earlier is None else earlier.merged(found)
        self.starts[task.name] = reply["starts"]
        self.keep(task, self.result.found[task.name])

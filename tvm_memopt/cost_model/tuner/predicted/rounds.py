"""The search for all kernels of a model in several processes: a small search of each, then larger ones of the heavy."""

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

# (population, generations) of a kernel with a small share of the run time, of the others, and of later rounds
_SMALL, _NORMAL, _LATER = (16, 1), (32, 3), ((96, 3), (192, 4))
_SMALL_SHARE = 0.002  # of the model's run time, by the roofline
_LATER_SHARE = 0.02  # of the model's run time, by prediction

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
        functions = {task.name: task.mod["main"] for task in tasks}
        costs = estimated_costs(functions, target)
        self.costs = {task.name: costs[task.name] * task.weight for task in tasks}
        for number, task in enumerate(tasks):
            (folder / f"{number}.json").write_text(tvm.ir.save_json(task.mod), encoding="utf-8")

    def run(self) -> None:
        total = sum(self.costs.values())
        first = sorted(range(len(self.tasks)), key=lambda number: -self.costs[self.tasks[number].name])
        self._round([(n, _SMALL if self.costs[self.tasks[n].name] < _SMALL_SHARE * total else _NORMAL) for n in first])
        for effort in _LATER:
            if time.monotonic() >= self.ends:
                return
            self._round([(number, effort) for number in self._heavy()])

    def _heavy(self) -> list[int]:
        """Kernels that take much of the predicted run time, those that take most first."""
        best = {name: found.best().seconds for name, found in self.result.found.items()}
        seconds = {n: best[task.name] * task.weight for n, task in enumerate(self.tasks) if task.name in best}
        total = sum(seconds.values())
        return sorted((n for n in seconds if seconds[n] >= _LATER_SHARE * total), key=lambda n: -seconds[n])

    def _round(self, jobs: list[tuple[int, tuple[int, int]]]) -> None:
        waiting: dict[Future[Any], Task] = {}
        for number, effort in jobs:
            request: Any = {
                "module": str(self.folder / f"{number}.json"), "target": self.target, "effort": effort,
                "checkpoint": str(self.options.checkpoint), "seed": self.options.seed * 1009 + number + effort[0],
            }  # fmt: skip
            waiting[self.pool.submit(request)] = self.tasks[number]
        while waiting:
            left = self.ends - time.monotonic()
            done, _ = wait(waiting, timeout=max(left, 0.0), return_when=FIRST_COMPLETED)
            if not done:
                return  # the time is over; leaving the pool ends its processes
            for future in done:
                self._take(waiting.pop(future), future.result())
            if self.watch is not None:
                self.watch(len(self.result.found), len(self.tasks), self.ends - time.monotonic())

    def _take(self, task: Task, reply: Any) -> None:
        if "found" not in reply:
            self.result.causes.setdefault(task.name, reply.get("error", "no result"))
            return
        found, earlier = found_from_json(reply["found"]), self.result.found.get(task.name)
        self.result.found[task.name] = found if earlier is None else earlier.merged(found)
        self.keep(task, self.result.found[task.name])

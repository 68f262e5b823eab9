"""Schedules for a module's kernels by prediction: from the cache, or from a search whose results are cached."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import tvm
from tvm.s_tir import meta_schedule as ms

from tvm_memopt.cost_model.data.programs import Task, fused_tasks
from tvm_memopt.cost_model.measure.intrinsics import cpu_intrinsics
from tvm_memopt.cost_model.network.checkpoint import PRETRAINED, load_checkpoint
from tvm_memopt.cost_model.tuner.predicted.cache import ScheduleCache
from tvm_memopt.cost_model.tuner.predicted.choices import Choice, Found
from tvm_memopt.cost_model.tuner.predicted.rounds import SearchOptions, Watch, search_tasks
from tvm_memopt.cost_model.tuner.target_fit import misfit
from tvm_memopt.errors import MemoptError

SECONDS = 90.0
"""Default time limit of the search."""
_RETRIES = 5  # plans that may be too large until all kernels lose their schedules
_log = logging.getLogger("tvm_memopt")


class PredictedSchedules:
    """The best schedule of each kernel by the network's prediction. Nothing is measured.

    ``seconds``: time limit of the search; kernels in the cache take none. ``workers``: processes; None: one for each
    processor. ``checkpoint``: file of the network; None: the bundled one. ``say``: receives one line for whatever keeps
    kernels unscheduled.
    """

    def __init__(
        self, seconds: float = SECONDS, *, workers: int | None = None, checkpoint: Path | None = None, seed: int = 0,
        cache_folder: Path | None = None, say: Callable[[str], None] = _log.warning, watch: Watch | None = None,
    ) -> None:  # fmt: skip
        self.seconds, self.workers, self.seed = seconds, workers or os.cpu_count() or 1, seed
        self.checkpoint, self.given = checkpoint or PRETRAINED, checkpoint is not None
        self.cache_folder, self.say, self.watch = cache_folder, say, watch
        self.tasks: list[Task] = []
        self.found: dict[str, Found] = {}
        self._taken: dict[str, int | None] = {}  # number of the choice, 0 where absent; None: unscheduled
        self._retries, self._searched = 0, False

    def database(self, fused: tvm.IRModule, target: tvm.target.Target) -> ms.database.Database | None:
        """A database of the chosen schedules, or None if there are none. Searches on the first call."""
        if not self._searched:
            self._searched = True
            wanted = with_cores(target)
            if (reason := self._hindrance(wanted)) is not None:
                self.say(f"kernels keep TVM's own loops: {reason}")
                return None
            self.tasks, self.found = self.search(fused_tasks(fused, wanted, "model"), wanted)
        return self._database(with_cores(target)) if self.scheduled else None

    def leaner(self, kernels: Mapping[str, int]) -> bool:
        """The named kernels take their fastest schedule with so little scratch, or none.

        ``kernels``: bytes of scratch. A kernel that has so little already takes its next schedule. After some calls all
        kernels take none.
        """
        scheduled = [name for name in self.found if self.choice(name).trace is not None]
        named = [name for name in scheduled if name.split("_", 1)[1] in kernels]
        self._retries += 1
        if not named or self._retries > _RETRIES:
            self._taken |= dict.fromkeys(scheduled, None)
        for name in named if self._retries <= _RETRIES else ():
            later = enumerate(self.found[name].choices)
            first, limit = (self._taken.get(name, 0) or 0) + 1, kernels[name.split("_", 1)[1]]
            self._taken[name] = next((n for n, c in later if n >= first and c.scratch_nbytes <= limit), None)
        return bool(scheduled)

    def starts(self, tasks: list[Task], target: tvm.target.Target) -> dict[str, Found]:
        """What is found for the tasks of a tuning run, by name; nothing where nothing can be predicted."""
        if self.seconds <= 0 or self._hindrance(target) is not None:
            return {}
        return self.search(tasks, target)[1]

    def search(self, tasks: list[Task], target: tvm.target.Target) -> tuple[list[Task], dict[str, Found]]:
        """The tasks, and what was found for each, by name: from the cache where it has it."""
        cache = ScheduleCache(target, self.checkpoint, self.cache_folder)
        found = {task.name: known for task in tasks if (known := cache.read(task.mod)) is not None}
        missing = [task for task in tasks if task.name not in found]
        if missing and self.seconds > 0:
            options = SearchOptions(self.seconds, min(self.workers, len(missing)), self.checkpoint, self.seed)
            searched = search_tasks(missing, target, options, lambda task, new: cache.write(task.mod, new), self.watch)
            found |= searched.found
            self._report(missing, searched.found, searched.causes, searched.interrupted)
        if cache.trouble is not None:
            self.say(f"schedules are not kept for the next build: {cache.trouble}")
        return tasks, found

    def choice(self, name: str) -> Choice:
        """The schedule that a task takes now."""
        found, taken = self.found[name], self._taken.get(name, 0)
        return found.choices[taken] if taken is not None and found.choices else found.unscheduled

    @property
    def scheduled(self) -> int:
        """Number of kernels that have a schedule now."""
        return sum(self.choice(name).trace is not None for name in self.found)

    def _hindrance(self, target: tvm.target.Target) -> str | None:
        """Why nothing can be predicted, or None. Raises MemoptError if that is a checkpoint that was asked for."""
        if not self.checkpoint.exists() and not self.given:
            return "this installation has no pre-trained network: train one"
        trained = load_checkpoint(self.checkpoint).target
        reason = misfit(trained, json.dumps(dict(target.export()), default=str))
        if reason is not None and self.given:
            raise MemoptError(f"{self.checkpoint}: was trained for {reason}: give a network for this target")
        return None if reason is None else f"the bundled network was trained for {reason}"

    def _report(self, missing: list[Task], found: dict[str, Found], causes: dict[str, str], interrupted: bool) -> None:
        left = len(missing) - len(found)
        if interrupted:
            self.say(f"interrupted: {left} of {len(missing)} kernels were not searched and keep TVM's own loops")
        elif left:
            cause = next(iter(causes.values()), "the time limit; a second build continues, or give --schedule-seconds")
            self.say(f"{left} of {len(missing)} kernels keep TVM's own loops: {cause}")

    def _database(self, target: tvm.target.Target) -> ms.database.Database:
        database = ms.database.MemoryDatabase()
        with cpu_intrinsics():
            for task in self.tasks:
                if task.name in self.found and (choice := self.choice(task.name)).trace is not None:
                    database.commit_tuning_record(record(choice, task, database, target))
        return database


def record(
    choice: Choice, task: Task, database: ms.database.Database, target: tvm.target.Target
) -> ms.database.TuningRecord:
    """A choice as a record of ``database``, with its predicted time in place of a measured one."""
    workload = database.commit_workload(task.mod)
    arguments = [argument.as_json() for argument in ms.arg_info.ArgInfo.from_entry_func(task.mod)]
    document = [choice.trace, [choice.seconds], dict(target.export()), arguments]
    return ms.database.TuningRecord.from_json(document, workload)


def with_cores(target: tvm.target.Target) -> tvm.target.Target:
    """The target as MetaSchedule needs it: with a number of cores, else one."""
    if "num-cores" in target.attrs:
        return target
    return tvm.target.Target({**dict(target.export()), "num-cores": 1})

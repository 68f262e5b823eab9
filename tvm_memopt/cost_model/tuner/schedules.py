"""Sources of schedules by name: ``predicted``, or a work folder of ``tvm-memopt tune``."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import tvm
from tvm.s_tir import meta_schedule as ms

from tvm_memopt.cost_model.data.programs import Task, fused_tasks
from tvm_memopt.cost_model.data.record_files import RECORDS, WORKLOADS
from tvm_memopt.cost_model.measure.intrinsics import cpu_intrinsics
from tvm_memopt.cost_model.measure.sampling import candidate_hash
from tvm_memopt.cost_model.network.checkpoint import same_target
from tvm_memopt.cost_model.tuner.predicted.rounds import Watch
from tvm_memopt.cost_model.tuner.predicted.scheduler import PredictedSchedules
from tvm_memopt.cost_model.tuner.tuning import SETTINGS, Tuned, best_seconds
from tvm_memopt.cost_model.tuner.untuned import keep_what_is_faster, read_untuned
from tvm_memopt.errors import MemoptError

_log = logging.getLogger("tvm_memopt")


def scheduler(
    name: str | Path, seconds: float, seed: int = 0, *, workers: int | None = None,
    say: Callable[[str], None] = _log.warning, watch: Watch | None = None,
) -> PredictedSchedules | TunedSchedules:  # fmt: skip
    """A source of schedules. ``name``: "predicted", or the path of a work folder. The rest: see PredictedSchedules.

    Raises MemoptError if the folder is none of ``tvm-memopt tune``.
    """
    if name == "predicted":
        return PredictedSchedules(seconds, workers=workers, seed=seed, say=say, watch=watch)
    return TunedSchedules(Path(name))


class TunedSchedules:
    """The fastest measured schedules in a work folder of ``tvm-memopt tune``, where they are faster than none."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._lean = folder, set[str]()
        self.tasks: list[Task] = []
        self.scheduled = 0
        if not (folder / RECORDS).is_file():
            raise MemoptError(
                f"{folder}: holds no measured schedules: expected predicted, none, or a --work-dir of `tvm-memopt tune`"
            )
        try:
            self.target = str(json.loads((folder / SETTINGS).read_text(encoding="utf-8"))["target"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MemoptError(f"{folder / SETTINGS}: cannot be read ({error}): name another work folder") from error

    def database(self, fused: tvm.IRModule, target: tvm.target.Target) -> ms.database.Database:
        """The schedules of the fused module's kernels. Raises MemoptError for another target than the folder's."""
        if not same_target(str(target), self.target):
            raise MemoptError(f"{self.folder}: was tuned for target {self.target}, expected {target}")
        with cpu_intrinsics():
            stored = ms.database.JSONDatabase(str(self.folder / WORKLOADS), str(self.folder / RECORDS))
        self.tasks = fused_tasks(fused, target, "model")
        tasks = [task for task in self.tasks if _kernel(task) not in self._lean]
        tuned = Tuned(stored, best_seconds(stored, tasks, target), 0, 0, len(stored))
        untuned, keys = read_untuned(self.folder), {task.name: str(candidate_hash(task.mod)) for task in tasks}
        keep_what_is_faster(tuned, tasks, target, {n: untuned[k] for n, k in keys.items() if k in untuned})
        self.scheduled = len(tuned.best) - len(tuned.unscheduled)
        return tuned.database

    def leaner(self, kernels: Mapping[str, int]) -> bool:
        """The named kernels lose their schedules; if none of them has one, all do."""
        rest = {_kernel(task) for task in self.tasks} - self._lean
        self._lean |= rest.intersection(kernels) or rest
        return bool(rest)


def _kernel(task: Task) -> str:
    """The kernel's name in the module: that of the task without its number."""
    return task.name.split("_", 1)[1]

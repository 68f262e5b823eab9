"""Schedule search for all kernels of a model: the implementation of ``tvm-memopt tune``."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TypeAlias

import tvm
from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule as ms

from tvm_memopt.atomic import write_text_atomic
from tvm_memopt.cost_model.data.programs import Task
from tvm_memopt.cost_model.data.record_files import NO_TIME, RECORDS, WORKLOADS, mend_database
from tvm_memopt.cost_model.measure.devices import STORED, Device
from tvm_memopt.cost_model.measure.intrinsics import cpu_intrinsics
from tvm_memopt.cost_model.measure.sampling import candidate_hash
from tvm_memopt.cost_model.tuner.design_space import cpu_design_space
from tvm_memopt.cost_model.tuner.predicted.choices import Found
from tvm_memopt.cost_model.tuner.starts import measure_starts
from tvm_memopt.errors import MemoptError

SETTINGS = "tuning.json"
"""File in the work folder: the target."""


@dataclass(frozen=True)
class TuneOptions:
    """Search options.

    ``trials``: total candidates, including those already in the database. ``per_round``: candidates measured between
    two updates of the model; None: chosen automatically. ``population``, ``generations``: of the evolutionary search.
    The population is 16 per candidate that a round measures, but at least 64 and at most ``population``, since
    replaying schedules takes most of the search time.
    """

    trials: int
    seed: int = 0
    per_round: int | None = None
    population: int = 256
    generations: int = 3


@dataclass
class Tuned:
    """Result of a search.

    ``best``: seconds by task. ``failed``: candidates without a time. ``first_cause``: why the first of them failed. Set
    by untuned.keep_what_is_faster: ``untuned``, seconds without a schedule, and ``unscheduled``, tasks that no schedule
    makes faster.
    """

    database: ms.database.Database
    best: dict[str, float]
    measured: int
    failed: int
    known: int
    warnings: list[str] = field(default_factory=list)
    interrupted: bool = False
    untuned: dict[str, float] = field(default_factory=dict)
    unscheduled: list[str] = field(default_factory=list)
    first_cause: str | None = None


Watch: TypeAlias = Callable[[str, int, float | None], None]
"""Called after each round with the task, the total of measured candidates and the round's fastest time in seconds."""


@derived_object
class _Count(ms.measure_callback.PyMeasureCallback):  # type: ignore[misc]
    """Count results and keep the first cause of failure."""

    def __init__(self, watch: Watch | None) -> None:
        super().__init__()
        self.watch = watch
        self.measured = self.failed = 0
        self.first_cause: str | None = None

    def count(self, results: Sequence[ms.runner.RunnerResult]) -> None:
        """Count results that were measured before the search."""
        for result in results:
            self.measured += bool(result.run_secs)
            self.failed += not result.run_secs
            self.first_cause = self.first_cause or result.error_msg

    def apply(
        self,
        scheduler: ms.task_scheduler.TaskScheduler,
        task_id: int,
        _candidates: Sequence[ms.MeasureCandidate],
        built: Sequence[ms.builder.BuilderResult],
        results: Sequence[ms.runner.RunnerResult],
    ) -> None:
        """Called by the search after each round."""
        seconds = []
        for one, result in zip(built, results, strict=True):
            if result.run_secs:
                seconds.append(median(float(s) for s in result.run_secs))
                continue
            self.failed += 1
            cause = str(one.error_msg or result.error_msg or "no time came back")
            self.first_cause = self.first_cause or " ".join(cause.split())
        self.measured += len(seconds)
        if self.watch is not None:
            self.watch(str(scheduler.tasks_[task_id].ctx.task_name), self.measured, min(seconds, default=None))


def tune_tasks(
    tasks: list[Task], target: tvm.target.Target, device: Device, model: ms.cost_model.CostModel, folder: Path,
    options: TuneOptions, watch: Watch | None = None, starts: Mapping[str, Found] | None = None,
) -> Tuned:  # fmt: skip
    """Search schedules for all tasks and store them in the database of ``folder``, continuing from its records.

    ``starts``: predicted schedules by task, which are measured first. Raises MemoptError if the folder belongs to
    another target, or, with the first cause, if nothing was measured.
    """
    warnings = _open(folder, target)
    database = ms.database.JSONDatabase(str(folder / WORKLOADS), str(folder / RECORDS))
    known = len(database)
    counter = _Count(watch)
    interrupted = False
    if options.trials > known:
        try:
            with _quiet():
                with cpu_intrinsics():
                    counter.count(measure_starts(starts or {}, tasks, target, device, database, options.trials - known))
                _search(tasks, target, device, model, folder, options, database, counter)
        except KeyboardInterrupt:
            interrupted = True
        except Exception:
            if device.failures:
                raise type(device.failures[0])(f"{device.failures[0]}; {STORED}") from None
            raise
    best = best_seconds(database, tasks, target)
    if not best:
        cause = counter.first_cause or "the database holds failures only"
        raise MemoptError(f"none of {counter.failed or known} candidates was measured; first failure: {cause}")
    return Tuned(
        database, best, counter.measured, counter.failed, known, warnings, interrupted, first_cause=counter.first_cause
    )


def best_seconds(database: ms.database.Database, tasks: list[Task], target: tvm.target.Target) -> dict[str, float]:
    """Seconds of the fastest record of each task that has one."""
    found = {}
    for task in tasks:
        record = database.query_tuning_record(task.mod, target, task.name)
        if record is not None and (seconds := median(float(s) for s in record.run_secs)) < NO_TIME:
            found[task.name] = seconds
    return found


def _open(folder: Path, target: tvm.target.Target) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SETTINGS
    if not path.exists():
        write_text_atomic(path, json.dumps({"target": str(target)}) + "\n")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["target"]
    except (ValueError, KeyError, TypeError) as error:
        raise MemoptError(f"{path}: is damaged ({error}): name another work folder") from error
    if found != str(target):
        raise MemoptError(f"{folder}: was tuned for target {found}, expected {target}: name another work folder")
    return mend_database(folder)


def _search(
    tasks: list[Task], target: tvm.target.Target, device: Device, model: ms.cost_model.CostModel, folder: Path,
    options: TuneOptions, database: ms.database.Database, counter: _Count,
) -> None:  # fmt: skip
    left = options.trials - len(database)
    if left <= 0:
        return
    per_round = options.per_round or min(64, max(4, left // (2 * len(tasks))))
    with cpu_intrinsics():
        contexts = [_context(task, target, options, per_round, number) for number, task in enumerate(tasks)]
    _replay(database, contexts, model)
    ms.tune_tasks(
        tasks=contexts, task_weights=[float(task.weight) for task in tasks], work_dir=str(folder),
        max_trials_global=left, num_trials_per_iter=per_round, builder=device.builder, runner=device.runner,
        database=database, cost_model=model, measure_callbacks=[*ms.measure_callback.MeasureCallback.create("default"),
        counter],
    )  # fmt: skip


def _context(
    task: Task, target: tvm.target.Target, options: TuneOptions, per_round: int, number: int
) -> ms.TuneContext:
    population = min(options.population, max(64, 16 * per_round))
    strategy = ms.search_strategy.EvolutionarySearch(
        population_size=population, genetic_num_iters=options.generations,
        init_min_unmeasured=min(50, max(per_round, 16)),
    )  # fmt: skip
    return ms.TuneContext(
        mod=task.mod, target=target, space_generator=cpu_design_space(), search_strategy=strategy,
        task_name=task.name, rand_state=(options.seed * 1009 + number) % (2**31 - 2) + 1, num_threads=1,
        logger=logging.getLogger("tvm_memopt.tuning"),
    )  # fmt: skip


def _replay(database: ms.database.Database, contexts: list[ms.TuneContext], model: ms.cost_model.CostModel) -> None:
    """Train the model on earlier measurements."""
    by_program = {candidate_hash(context.mod): context for context in contexts}
    rounds: dict[int, list[ms.database.TuningRecord]] = {}
    for record in database.get_all_tuning_records():
        rounds.setdefault(candidate_hash(record.workload.mod), []).append(record)
    for key, records in rounds.items():
        if key not in by_program:
            continue
        results = [
            ms.runner.RunnerResult(list(r.run_secs), None)
            if median(float(s) for s in r.run_secs) < NO_TIME
            else ms.runner.RunnerResult(None, "failed before")
            for r in records
        ]
        model.update(by_program[key], [record.as_measure_candidate() for record in records], results)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence TVM's search, which logs every round to the console. Warnings and errors are still shown."""
    names = ("tvm.s_tir.meta_schedule", "tvm_memopt.tuning")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

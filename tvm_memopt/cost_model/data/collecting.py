"""Measure candidates of many programs: the main loop of ``tvm-memopt collect``."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, pstdev
from typing import TypeAlias

import tvm
from tvm.s_tir import meta_schedule as ms

from tvm_memopt.cost_model.data.collection import Store, known_workloads, workload_hash
from tvm_memopt.cost_model.data.programs import Task
from tvm_memopt.cost_model.data.record_files import RECORDS
from tvm_memopt.cost_model.measure.devices import STORED, Device, device_type, request_for
from tvm_memopt.cost_model.measure.sampling import SPACES, candidate_hash
from tvm_memopt.cost_model.measure.worker_pool import WorkerPool
from tvm_memopt.errors import MemoptError

_PARENTS = 16  # best records used as parents by the evolutionary search
_EMPTY_ROUNDS = len(SPACES)  # consecutive rounds without a new candidate after which a space counts as exhausted


@dataclass(frozen=True)
class Orders:
    """How much to collect.

    ``per_program``: candidates of each program, the first of which is the program without a schedule. ``time_limit``:
    total seconds. ``round_size``: candidates drawn and measured together. ``programs_at_once``: programs processed in
    parallel. ``sampling_timeout``: seconds to draw one round.
    """

    per_program: int = 64
    seed: int = 0
    time_limit: float | None = None
    round_size: int = 16
    programs_at_once: int = 2
    sampling_timeout: float = 60.0


@dataclass
class Tally:
    """Statistics of a run.

    ``known``: candidates already in the folder. ``duplicates``: candidates drawn again. ``spreads``: standard deviation
    of each candidate's repeats divided by their median.
    """

    programs: int = 0
    measured: int = 0
    known: int = 0
    duplicates: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    first_cause: str | None = None
    warnings: list[str] = field(default_factory=list)
    spreads: list[float] = field(default_factory=list)
    interrupted: bool = False

    @property
    def failed(self) -> int:
        """Number of candidates without a time."""
        return sum(self.failures.values())


Watch: TypeAlias = Callable[[Tally, str], None]


@dataclass(frozen=True)
class _Candidate:
    """A scheduled module with its structural hash and its database record."""

    key: int
    mod: tvm.IRModule
    record: str


@dataclass(frozen=True)
class _Run:
    """State shared by the threads of one run."""

    folder: Path
    device: Device
    target: tvm.target.Target
    orders: Orders
    sampler: WorkerPool
    ends: float
    tally: Tally
    watch: Watch
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def over(self) -> bool:
        return self.stop.is_set() or time.monotonic() >= self.ends


def collect(
    folder: Path,
    tasks: Iterable[Task],
    device: Device,
    target: tvm.target.Target,
    orders: Orders,
    watch: Watch | None = None,
) -> Tally:
    """Measure up to ``per_program`` candidates of each task into ``folder``. Candidates already there count.

    Ctrl-C and the time limit end the run and keep all measurements, and so does a failure of the device, which is
    raised as NoDeviceError. Raises MemoptError, with the first cause, if nothing was measured and something failed.
    """
    ends = time.monotonic() + (float("inf") if orders.time_limit is None else orders.time_limit)
    with WorkerPool(orders.programs_at_once, orders.sampling_timeout) as sampler:
        run = _Run(folder, device, target, orders, sampler, ends, Tally(), watch or (lambda _tally, _name: None))
        try:
            _collect_all(run, iter(tasks))
        except KeyboardInterrupt:
            run.tally.interrupted = True
        except Exception:
            if device.failures:  # what was measured is stored; nothing is wrong with the rest
                raise type(device.failures[0])(f"{device.failures[0]}; {STORED}") from None
            raise
    tally = run.tally
    if tally.measured + tally.known == 0 and tally.first_cause is not None:
        raise MemoptError(f"none of {tally.failed} candidates was measured; first failure: {tally.first_cause}")
    return tally


def _collect_all(run: _Run, tasks: Iterator[Task]) -> None:
    """Process some programs in parallel, so that candidates of one are drawn while others are measured."""
    known = known_workloads(run.folder)
    with ThreadPoolExecutor(run.orders.programs_at_once) as threads:
        waiting: set[Future[None]] = set()
        try:
            for task in tasks:
                if run.over():
                    break
                if known.setdefault(workload_hash(task.mod), task.name) == task.name:
                    waiting.add(threads.submit(_collect_one, run, task))
                if len(waiting) >= run.orders.programs_at_once:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
            for future in waiting:
                future.result()
        except BaseException:
            run.stop.set()
            run.sampler.close()
            raise


def _collect_one(run: _Run, task: Task) -> None:
    store = Store(run.folder / task.name, task)
    with run.lock:
        run.tally.warnings += store.warnings
        run.tally.programs += 1
        run.tally.known += store.measured
    empty = 0
    try:
        if candidate_hash(task.mod) not in store.seen and _wanted(run, store) > 0 and not run.over():
            _measure(run, store, [_as_it_is(run, task)])
        while not store.notes.exhausted and not run.over():
            wanted = _wanted(run, store)
            if wanted <= 0:
                break
            with tempfile.TemporaryDirectory(prefix="memopt-") as folder:
                fresh = _draw(run, store, task, min(wanted, run.orders.round_size), Path(folder))
            store.notes.rounds += 1
            empty = 0 if fresh else empty + 1
            store.notes.exhausted = empty >= _EMPTY_ROUNDS and not run.stop.is_set()
            _measure(run, store, fresh)
    finally:
        store.close()
        run.watch(run.tally, task.name)


def _wanted(run: _Run, store: Store) -> int:
    return run.orders.per_program - store.measured - len(store.failures)


def _draw(run: _Run, store: Store, task: Task, count: int, folder: Path) -> list[_Candidate]:
    """Draw new candidates for the program's next round."""
    number = store.notes.rounds
    space = SPACES[number % len(SPACES)]
    best = folder / "best"
    best.mkdir()
    if not store.write_best(best, _PARENTS) and space == "evolved":
        space = SPACES[0]
    request = request_for(task.mod, run.target, folder / "program.json")
    seed = zlib.crc32(f"{run.orders.seed}/{task.name}/{number}".encode())
    request |= {"job": "sample", "space": space, "count": count, "seed": seed, "output": str(folder)}
    request["best"] = str(best) if space == "evolved" else None
    reply = run.sampler.submit(request).result()
    if "error" in reply:
        if not run.stop.is_set():
            cause = f"{task.name}: its schedules could not be drawn: {reply['error']}"
            _count_failure(run, "not drawn", cause)
        return []
    return _fresh(run, store, folder, [int(key) for key in reply["hashes"]])


def _as_it_is(run: _Run, task: Task) -> _Candidate:
    """The program without a schedule, as an untuned model runs it."""
    from tvm.s_tir import Schedule

    with tempfile.TemporaryDirectory(prefix="memopt-") as folder:
        database = ms.database.JSONDatabase(work_dir=folder)
        database.commit_tuning_record(
            ms.database.TuningRecord(
                Schedule(task.mod).trace, database.commit_workload(task.mod), [1e10], run.target,
                ms.arg_info.ArgInfo.from_entry_func(task.mod),
            )
        )  # fmt: skip
        record = (Path(folder) / RECORDS).read_text(encoding="utf-8").splitlines()[0]
    return _Candidate(candidate_hash(task.mod), task.mod, record)


def _fresh(run: _Run, store: Store, folder: Path, hashes: list[int]) -> list[_Candidate]:
    lines = (folder / RECORDS).read_text(encoding="utf-8").splitlines() if hashes else []
    fresh: dict[int, _Candidate] = {}
    for i, (key, line) in enumerate(zip(hashes, lines, strict=True)):
        if key in store.seen or key in fresh:
            with run.lock:
                run.tally.duplicates += 1
        else:
            mod = tvm.ir.load_json((folder / f"{i}.json").read_text(encoding="utf-8"))
            fresh[key] = _Candidate(key, mod, line)
    return list(fresh.values())


def _measure(run: _Run, store: Store, fresh: list[_Candidate]) -> None:
    """Build and time a round, and store each candidate as soon as it is measured."""
    if not fresh:
        return
    built = run.device.builder.build([ms.builder.BuilderInput(candidate.mod, run.target) for candidate in fresh])
    paths = [result.artifact_path for result in built]
    runnable = [i for i, result in enumerate(built) if result.error_msg is None]
    kind = device_type(run.target)
    inputs = [
        ms.runner.RunnerInput(paths[i], kind, ms.arg_info.ArgInfo.from_entry_func(fresh[i].mod)) for i in runnable
    ]
    futures = dict(zip(runnable, run.device.runner.run(inputs) if inputs else (), strict=True))
    for i, candidate in enumerate(fresh):
        result = futures[i].result() if i in futures else None
        if i in futures:
            shutil.rmtree(Path(str(paths[i])).parent, ignore_errors=True)
        if run.stop.is_set():
            return  # an interrupted measurement is not a failure
        _keep(run, store, candidate, result, str(built[i].error_msg))
        run.watch(run.tally, store.notes.name)
        if run.over():
            return


def _keep(
    run: _Run, store: Store, candidate: _Candidate, result: ms.runner.RunnerResult | None, build_error: str
) -> None:
    if result is None or not result.run_secs:
        cause = str(build_error if result is None else result.error_msg or "no time came back")
        store.fail(candidate.key, cause)
        _count_failure(run, _kind(cause), cause)
        return
    seconds = [float(s) for s in result.run_secs]
    store.add(candidate.record, candidate.mod, candidate.key, seconds)
    with run.lock:
        run.tally.measured += 1
        run.tally.spreads.append(pstdev(seconds) / median(seconds))


def _count_failure(run: _Run, kind: str, cause: str) -> None:
    with run.lock:
        run.tally.failures[kind] += 1
        run.tally.first_cause = run.tally.first_cause or " ".join(cause.split())


def _kind(cause: str) -> str:
    lowered = cause.lower()
    if "timed out" in lowered or "timeout" in lowered:
        return "timed out"
    return "crashed" if "worker process" in lowered else "failed"

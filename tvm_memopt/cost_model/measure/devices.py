"""A MetaSchedule builder and runner for this machine.

``local_device`` builds and times candidates in long-lived worker processes. Its builder and runner can be passed to
``ms.tune_tir(..., builder=…, runner=…)``, as can those of ``remote.rpc_device`` for devices behind RPC.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import tvm
from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule as ms

from tvm_memopt.cost_model.measure.timing import Timing
from tvm_memopt.cost_model.measure.worker_pool import Reply, Request, WorkerPool
from tvm_memopt.errors import MemoptError

STORED = "what was measured is stored: run the same command again to continue"


@dataclass(frozen=True)
class Device:
    """A builder and a runner for MetaSchedule.

    ``failures``: why the runner cannot go on, if it cannot. The runner raises it too, but TVM may replace an exception
    that passes through its search.
    """

    builder: ms.builder.Builder
    runner: ms.runner.Runner
    failures: list[MemoptError] = field(default_factory=list)


def request_for(mod: tvm.IRModule, target: tvm.target.Target, path: Path) -> Request:
    """Write a module to ``path`` and return the worker's request for it."""
    path.write_text(tvm.ir.save_json(mod), encoding="utf-8")
    return {"module": str(path), "target": tvm.ir.save_json(target)}


@contextmanager
def local_device(workers: int = 1, timeout: float = 30.0, timing: Timing | None = None) -> Iterator[Device]:
    """This machine as a device. Times are CPU seconds of one kernel thread. The workers end with the block."""
    with WorkerPool(workers, timeout) as pool, tempfile.TemporaryDirectory(prefix="memopt-") as folder:
        yield Device(_NoteBuilder(Path(folder)), _WorkerRunner(pool, timing or Timing()))


def device_type(target: tvm.target.Target) -> str:
    """TVM's device type that runs code of ``target``."""
    return "cpu" if target.kind.name in ("llvm", "c") else str(target.kind.name)


class Notes:
    """Requests written from any thread, each to its own folder, which MetaSchedule deletes after the run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.numbers = folder, itertools.count()

    def write(self, item: ms.builder.BuilderInput) -> Request:
        """Write a candidate, and return the request that names it."""
        own = self.folder / str(next(self.numbers))
        own.mkdir()
        return request_for(item.mod, item.target, own / "module.json")


@derived_object
class _NoteBuilder(ms.builder.PyBuilder):  # type: ignore[misc]
    """A builder that only records what to build. The worker that times a candidate builds it in memory."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.notes = Notes(folder)

    def build(self, build_inputs: list[ms.builder.BuilderInput]) -> list[ms.builder.BuilderResult]:
        results = []
        for item in build_inputs:
            request = self.notes.write(item)
            path = Path(request["module"]).with_name("request.json")
            path.write_text(json.dumps(request), encoding="utf-8")
            results.append(ms.builder.BuilderResult(str(path), None))
        return results


@derived_object
class _WorkerRunner(ms.runner.PyRunner):  # type: ignore[misc]
    """A runner that builds and times the candidates recorded by _NoteBuilder."""

    def __init__(self, pool: WorkerPool, timing: Timing) -> None:
        super().__init__()
        self.pool, self.timing = pool, asdict(timing)

    def run(self, runner_inputs: list[ms.runner.RunnerInput]) -> list[ms.runner.RunnerFuture]:
        futures = []
        for item in runner_inputs:
            path = Path(str(item.artifact_path))
            request: Request = json.loads(path.read_text(encoding="utf-8"))
            reply = self.pool.submit({"job": "measure", **request, "timing": self.timing})
            futures.append(_WorkerFuture(reply))
        return futures


@derived_object
class _WorkerFuture(ms.runner.PyRunnerFuture):  # type: ignore[misc]
    """A measurement in progress."""

    def __init__(self, reply: Future[Reply]) -> None:
        super().__init__()
        self.reply = reply

    def done(self) -> bool:
        return self.reply.done()

    def result(self) -> ms.runner.RunnerResult:
        reply = self.reply.result()
        return ms.runner.RunnerResult(reply.get("seconds"), reply.get("error"))

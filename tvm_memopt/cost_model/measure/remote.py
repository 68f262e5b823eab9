"""A MetaSchedule builder and runner for devices behind RPC.

Candidates are built and linked here, and uploaded as finished libraries or programs: a device needs no linker. Each is
timed in a session of its own by a worker process, one for each device: a kernel that crashes costs its own candidate,
and a device that goes away costs none, since the candidate is timed again on another.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import tvm
from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule as ms

from tvm_memopt.cost_model.measure.devices import Device, Notes
from tvm_memopt.cost_model.measure.timing import Timing
from tvm_memopt.cost_model.measure.worker_pool import Reply, WorkerPool
from tvm_memopt.errors import MemoptError
from tvm_memopt.export.platforms import PROGRAM_SUFFIX, is_program_target, platform_for
from tvm_memopt.targets import rpc
from tvm_memopt.targets.toolchain import linker_for

_ATTEMPTS = 2  # sessions for a candidate; the second is on another device if there is one
_BUSY_SECONDS = 300.0
_SPARE_SECONDS = 60.0


@contextmanager
def rpc_device(
    where: rpc.Device,
    workers: int = 1,
    timeout: float = 60.0,
    timing: Timing | None = None,
    *,
    target: tvm.target.Target | None = None,
    cc: str | None = None,
) -> Iterator[Device]:
    """The devices named by ``where``, used in parallel. They measure wall-clock seconds by their own clocks.

    For a target whose modules are programs, such as Hexagon, they count instructions instead: a nanosecond each.

    ``workers``: processes that build here. ``timeout``: seconds to build, and to time, a candidate. ``target``, ``cc``:
    what to build for, to find out early that nothing can link for it. Raises NoDeviceError in at most 15 seconds if no
    device answers. If all go away later, the measurement that notices it raises NoDeviceError, which is also in
    ``failures`` of the device.
    """
    if target is not None and is_program_target(target):
        platform_for(target, cc)
    elif target is not None:
        linker_for(target, cc)
    count = where.count()
    chosen = replace(where, timeout=timeout, attempts=_ATTEMPTS, busy=_BUSY_SECONDS)
    longest = _ATTEMPTS * (timeout + chosen.patience) + _BUSY_SECONDS + _SPARE_SECONDS
    with (
        WorkerPool(workers, timeout + _SPARE_SECONDS) as builders,
        WorkerPool(count, longest) as timers,
        TemporaryDirectory(prefix="memopt-") as folder,
    ):
        failures: list[MemoptError] = []
        builder = _LibraryBuilder(builders, Path(folder), timeout, cc)
        yield Device(builder, _RemoteRunner(timers, chosen, timing or Timing(), failures), failures)


@derived_object
class _LibraryBuilder(ms.builder.PyBuilder):  # type: ignore[misc]
    """A builder that uses worker processes and writes shared libraries, linked for the target."""

    def __init__(self, pool: WorkerPool, folder: Path, timeout: float, cc: str | None) -> None:
        super().__init__()
        self.pool, self.notes, self.timeout, self.cc = pool, Notes(folder), timeout, cc

    def build(self, build_inputs: list[ms.builder.BuilderInput]) -> list[ms.builder.BuilderResult]:
        futures = []
        for item in build_inputs:
            request = self.notes.write(item)
            program = is_program_target(item.target)
            output = str(Path(request["module"]).with_suffix(PROGRAM_SUFFIX if program else ".so"))
            name = "export_program" if program else "export"
            job = {"job": name, "output": output, "cc": self.cc, "timeout": self.timeout}
            futures.append(self.pool.submit({**request, **job}))  # type: ignore[typeddict-item]
        replies = [future.result() for future in futures]
        return [ms.builder.BuilderResult(reply.get("output"), reply.get("error")) for reply in replies]


@derived_object
class _RemoteRunner(ms.runner.PyRunner):  # type: ignore[misc]
    """A runner that times the libraries of _LibraryBuilder on devices."""

    def __init__(self, pool: WorkerPool, where: rpc.Device, timing: Timing, failures: list[MemoptError]) -> None:
        super().__init__()
        self.pool, self.where, self.timing, self.failures = pool, asdict(where), asdict(timing), failures

    def run(self, runner_inputs: list[ms.runner.RunnerInput]) -> list[ms.runner.RunnerFuture]:
        futures = []
        for item in runner_inputs:
            arguments = [(str(info.dtype), [int(n) for n in info.shape]) for info in item.args_info]
            path = str(item.artifact_path)
            reply = self.pool.submit(
                {
                    "job": "count_remote" if path.endswith(PROGRAM_SUFFIX) else "time_remote",
                    "output": path, "device": self.where,
                    "arguments": arguments, "device_type": str(item.device_type), "timing": self.timing,
                }
            )  # fmt: skip
            futures.append(_RemoteFuture(reply, self.pool, self.failures))
        return futures


@derived_object
class _RemoteFuture(ms.runner.PyRunnerFuture):  # type: ignore[misc]
    """A measurement in progress. Its result raises NoDeviceError if there is no device left: nothing is wrong with the
    candidate, so it must not count as failed."""

    def __init__(self, reply: Future[Reply], pool: WorkerPool, failures: list[MemoptError]) -> None:
        super().__init__()
        self.reply, self.pool, self.failures = reply, pool, failures

    def done(self) -> bool:
        return self.reply.done()

    def result(self) -> ms.runner.RunnerResult:
        reply = self.reply.result()
        if reply.get("no_device") and not self.failures:
            self.failures.append(rpc.NoDeviceError(str(reply["error"])))
            self.pool.close()  # the others would wait for a device too
        if self.failures and "seconds" not in reply:
            raise self.failures[0]
        return ms.runner.RunnerResult(reply.get("seconds"), reply.get("error"))

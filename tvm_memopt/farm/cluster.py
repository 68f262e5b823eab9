"""A Dask cluster: that of a scheduler, or worker processes on this machine. The jobs are the same."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tvm_memopt.errors import MemoptError
from tvm_memopt.farm.job import Job, JobResult, run_job

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 15


@contextmanager
def cluster(scheduler: str | None = None, workers: int = 2) -> Iterator[Client]:
    """A client of the scheduler at this address, or of ``workers`` local processes that end with the block.

    Raises MemoptError if Dask is missing or the scheduler cannot be reached.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise MemoptError("a farm needs Dask: pip install 'tvm-memopt[farm]'") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # its own import has set it to INFO
    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=CONNECT_SECONDS)
        except (OSError, ValueError, TimeoutError) as error:
            raise MemoptError(
                f"no Dask scheduler answers at {scheduler!r} ({_reason(error)}): expected an address such as "
                "tcp://HOST:8786; `dask scheduler` starts one"
            ) from None
        with client:
            yield client
        return
    # Jobs are processes of their own: a worker needs little memory, and its limit would not count theirs.
    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, memory_limit=0, dashboard_address=":0",
            silence_logs=logging.CRITICAL, scheduler_kwargs={"dashboard": False},
        ) as local,
        Client(local) as client,
    ):  # fmt: skip
        yield client


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def run_jobs(client: Client, jobs: Iterable[Job]) -> Generator[JobResult, None, None]:
    """The results of the jobs, in the order in which they end.

    A job whose worker dies runs again on another one; if that happens several times, its result is the error. When the
    iterator is closed or interrupted, jobs that have not ended are cancelled.
    """
    from distributed import as_completed

    run = uuid.uuid4().hex  # a scheduler that others use too must not take their task for ours
    futures = {job.key: client.submit(run_job, job, key=f"memopt-{run}-{job.key}", pure=False) for job in jobs}
    keys = {future.key: key for key, future in futures.items()}
    try:
        for future in as_completed(list(futures.values())):
            if future.status == "finished":
                yield future.result()
            else:
                cause = _reason(future.exception()) if future.status == "error" else future.status
                yield JobResult(keys[future.key], 1, None, f"the job was lost: {cause}", {}, 0.0)
            future.release()
    finally:
        client.cancel(list(futures.values()))

"""``tvm-memopt collect --out DIR``: measure schedules as training data for the cost model."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, TypedDict

import click

from tvm_memopt.cli.console import emit, note
from tvm_memopt.cli.files import check_output_folder
from tvm_memopt.cli.options import json_option, shape_option, tuning_target_option
from tvm_memopt.cli.rpc import named_device, rpc_options
from tvm_memopt.errors import MemoptError

if TYPE_CHECKING:
    import tvm

    from tvm_memopt.cost_model.data.collecting import Tally, Watch
    from tvm_memopt.cost_model.data.programs import Task
    from tvm_memopt.cost_model.measure.devices import Device
    from tvm_memopt.targets import DeviceProfile
    from tvm_memopt.targets.rpc import Device as RemoteDevice


class _Document(TypedDict):
    programs: int
    measured: int
    known_before: int
    duplicates: int
    failures: dict[str, int]
    first_cause: str | None
    median_spread: float | None
    seconds: float
    cpu_seconds: float
    interrupted: bool


@click.command("collect")
@click.option("--out", required=True, metavar="DIR", help="Folder to collect into; an existing one is continued.")
@click.option("--programs", type=click.IntRange(0), default=0, metavar="N", help="Random programs of 3 to 30 stages.")
@click.option("--models", multiple=True, metavar="FILE", help="Model whose kernels to schedule. May be repeated.")
@click.option(
    "--per-program", type=click.IntRange(1), default=64, show_default=True, metavar="K", help="Candidates per program."
)
@click.option("--time-limit", type=float, metavar="S", help="Total seconds; default: no limit.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of programs and schedules.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Worker processes; default: all processors.")
@click.option(
    "--timeout", type=float, default=10.0, show_default=True, metavar="S", help="Seconds to build and time a candidate."
)
@tuning_target_option
@click.option("--cc", metavar="COMPILER", help="Cross compiler that links for the target.")
@rpc_options
@shape_option
@json_option
def command(
    out: str, programs: int, models: tuple[str, ...], per_program: int, time_limit: float | None, seed: int,
    workers: int | None, timeout: float, target: str | None, device: DeviceProfile | None, cc: str | None,
    rpc: str | None, tracker: str | None, key: str | None,
    shapes: tuple[str, ...], override_shapes: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Measure schedules of random programs and of models' kernels, and store them in DIR.

    Each program gets its own TVM database and a file with features and times. Ctrl-C keeps all measurements; run the
    same command to continue.

    \b
    Examples:
      tvm-memopt collect --out data --programs 300
      tvm-memopt collect --out data --models model.onnx --per-program 128 --time-limit 3600
    """
    if not programs and not models:
        raise MemoptError("there is nothing to collect: give --programs N, --models FILE or both")
    where = named_device(rpc, tracker, key, timeout)
    if device is not None and device.triple and where is None:
        raise MemoptError(
            f"--device {device.name} is another machine than this one: give --rpc, or --tracker and --key, as well"
        )
    check_output_folder(out)
    from tvm_memopt.passes.versions import require_relax

    require_relax()
    from tvm_memopt.cost_model.data.collecting import Orders, collect

    chosen = tuning_target(target, cores=4)
    imported = _imported(models, shapes, override_shapes)  # report errors before any work
    tasks = _tasks(programs, seed, imported, chosen)
    count = workers or os.cpu_count() or 1
    orders = Orders(per_program, seed, time_limit, programs_at_once=count)
    _open(Path(out), chosen, where)
    started, cpu = time.monotonic(), _cpu_seconds()
    with (
        measuring_device(where, chosen, cc, count, timeout) as runner,
        _progress(len(models), programs, per_program) as watch,
    ):
        tally = collect(Path(out), tasks, runner, chosen, orders, watch)
    for line in tally.warnings:
        note(f"warning: {line}")
    if tally.interrupted:
        note("interrupted: all measurements are saved; run the same command to continue")
    document = _document(tally, time.monotonic() - started, _cpu_seconds() - cpu)
    emit(as_json, document, _text(out, document))


def tuning_target(text: str | None, cores: int) -> tvm.target.Target:
    """Make a target that MetaSchedule can schedule for. Raises MemoptError for others.

    ``text``: the target, or None for this processor with ``cores`` cores.
    """
    from tvm_memopt.cost_model.measure.builds import host_target

    if text is None:
        return host_target(cores)
    import json

    import tvm

    try:
        target = tvm.target.Target(json.loads(text) if text.lstrip().startswith("{") else text)
        _ = int(target.attrs["num-cores"])
    except (ValueError, TypeError, RuntimeError, KeyError) as error:
        last = (str(error).strip().splitlines() or [""])[-1]
        raise MemoptError(
            f"target {text!r} cannot be scheduled for ({last}): expected JSON such as "
            '\'{"kind": "llvm", "num-cores": 4}\''
        ) from error
    return target


def _imported(
    models: tuple[str, ...], shapes: tuple[str, ...], override_shapes: tuple[str, ...]
) -> list[tuple[str, tvm.IRModule]]:
    from tvm_memopt.cli.models import import_for_command

    return [(Path(path).stem, import_for_command(path, shapes, override_shapes)) for path in models]


def _tasks(
    programs: int, seed: int, imported: list[tuple[str, tvm.IRModule]], target: tvm.target.Target
) -> Iterator[Task]:
    from tvm_memopt.cost_model.data.programs import model_tasks, random_task

    def all_tasks() -> Iterator[Task]:
        for name, mod in imported:
            for task in model_tasks(mod, target, name):
                yield replace(task, name=f"{name}_{task.name}")  # keeps folders of several models distinct
        for index in range(programs):
            yield random_task(seed, index)

    return all_tasks()


def _open(folder: Path, target: tvm.target.Target, where: RemoteDevice | None) -> None:
    from tvm_memopt.cost_model.data.collection import open_folder
    from tvm_memopt.cost_model.data.manifest import Manifest

    device = "local, CPU time of one thread"
    if where is not None:
        from tvm_memopt.export.platforms import is_program_target

        counted = is_program_target(target)
        device = f"RPC devices {where.key or where.rpc}, {'instructions as nanoseconds' if counted else 'wall time'}"
    open_folder(folder, Manifest(str(target), device))


def measuring_device(
    where: RemoteDevice | None, target: tvm.target.Target, cc: str | None, workers: int, timeout: float
) -> AbstractContextManager[Device]:
    """This machine, or the devices that ``where`` names, for the block of a ``with``."""
    if where is None:
        from tvm_memopt.cost_model.measure.devices import local_device
        from tvm_memopt.export.platforms import is_program_target

        if is_program_target(target):
            raise MemoptError(
                "candidates for this target do not run on this machine: give --rpc, or --tracker and --key; "
                "`tvm-memopt emulator start --hexagon` starts a device that counts their instructions"
            )

        return local_device(workers, timeout)
    from tvm_memopt.cost_model.measure.remote import rpc_device

    return rpc_device(where, workers, timeout, target=target, cc=cc)


@contextmanager
def _progress(models: int, programs: int, per_program: int) -> Iterator[Watch | None]:
    """A progress bar, on a terminal. With models among the programs its length is unknown."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        total = None if models else programs * per_program
        row = bar.add_task("collecting", total=total)

        def watch(tally: Tally, name: str) -> None:
            failed = f", {tally.failed} failed" if tally.failed else ""
            bar.update(row, completed=tally.known + tally.measured + tally.failed, description=f"{name}{failed}")

        yield watch


def _cpu_seconds() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _document(tally: Tally, seconds: float, cpu_seconds: float) -> _Document:
    return {
        "programs": tally.programs,
        "measured": tally.measured,
        "known_before": tally.known,
        "duplicates": tally.duplicates,
        "failures": dict(tally.failures),
        "first_cause": tally.first_cause,
        "median_spread": median(tally.spreads) if tally.spreads else None,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "interrupted": tally.interrupted,
    }


def _text(out: str, document: _Document) -> str:
    failures = ", ".join(f"{count} {kind}" for kind, count in document["failures"].items())
    lines = [
        f"{out}: {document['measured']:,} candidates of {document['programs']:,} programs measured, "
        f"{document['known_before']:,} were there before, {document['duplicates']:,} drawn again"
    ]
    if failures:
        lines.append(f"failed: {failures}; the first: {document['first_cause']}")
    if document["median_spread"] is not None:
        rate = document["measured"] / max(document["cpu_seconds"], 1e-9) * 60
        lines.append(
            f"spread of repeats {document['median_spread']:.2%} in the median; {document['seconds']:.0f} s, "
            f"{rate:.0f} candidates a CPU minute"
        )
    return "\n".join(lines)

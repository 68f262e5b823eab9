"""``--schedules``: where schedules of kernels come from, and the progress of their search."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from tvm_memopt.cli.console import note
from tvm_memopt.cli.options import stacked

if TYPE_CHECKING:
    import tvm

    from tvm_memopt.cost_model.tuner.predicted.rounds import Watch
    from tvm_memopt.passes.schedules import Scheduler

schedule_options = stacked(
    click.option(
        "--schedules", default="none", show_default=True, metavar="predicted|none|DIR",
        help="Schedules of kernels: the best by prediction, none, or those in the --work-dir of tune.",
    ),
    click.option(
        "--schedule-seconds", type=click.FloatRange(0), default=90.0, show_default=True, metavar="S",
        help="Seconds to search with --schedules predicted; kernels searched before take none.",
    ),
)  # fmt: skip


@contextmanager
def chosen_scheduler(schedules: str, seconds: float, seed: int) -> Iterator[Scheduler | None]:
    """The source that --schedules names, or None. On a terminal, a line shows the progress of its search."""
    if schedules == "none":
        yield None
        return
    from tvm_memopt.cost_model.tuner.schedules import scheduler

    with search_progress() as watch:
        chosen = scheduler(schedules, seconds, seed, say=note, watch=watch)
        yield chosen
    if chosen.tasks:
        note(f"{chosen.scheduled} of {len(chosen.tasks)} distinct kernels have a schedule")


def schedule_target(text: str, schedules: str) -> tvm.target.Target:
    """The target to compile for. ``llvm`` stands for the instructions that schedules are made for: up to AVX2."""
    from tvm_memopt.cost_model.measure.builds import host_target
    from tvm_memopt.passes.compile import make_target

    return make_target(text) if schedules == "none" or text != "llvm" else host_target(1)


@contextmanager
def search_progress() -> Iterator[Watch | None]:
    """Show the progress of the search on a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    with Console(stderr=True).status("schedules") as status:

        def show(done: int, total: int, left: float) -> None:
            status.update(f"schedules: {done} of {total} kernels, {max(left, 0.0):.0f} s left; Ctrl-C to stop")

        yield show

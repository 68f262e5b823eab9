"""``tvm-memopt pack BUFFERS.csv -o placed.csv``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypedDict

import click

from tvm_memopt.cli.console import emit, note, stage
from tvm_memopt.cli.options import json_option
from tvm_memopt.cli.plan import make_request
from tvm_memopt.errors import InfeasibleBudgetError, NoPlanError

if TYPE_CHECKING:
    import numpy as np

    from tvm_memopt.graph import Lifetimes
    from tvm_memopt.solvers.layout.exact import LayoutOutcome
    from tvm_memopt.solvers.request import Request


class _Document(TypedDict):
    buffers: int
    arena_nbytes: int | None
    lower_bound_nbytes: int
    capacity_nbytes: int | None
    status: str
    seconds: float
    nodes: int
    seed: int


@click.command("pack")
@click.argument("buffers", metavar="BUFFERS.csv")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to write the buffers with their offsets.")
@click.option(
    "--capacity", type=click.IntRange(1, 2**62), metavar="BYTES",
    help="Find any placement within this many bytes; default: minimise the arena.",
)  # fmt: skip
@click.option("--time-limit", type=float, default=10.0, show_default=True, metavar="S", help="Seconds to search.")
@click.option("--threads", type=int, metavar="N", help="Threads to search with; default: all processors.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of randomised searches.")
@json_option
def command(
    buffers: str, output: str, capacity: int | None, time_limit: float, threads: int | None, seed: int, as_json: bool
) -> None:
    """Find offsets for the buffers of BUFFERS.csv (id,lower,upper,size) and add a column "offset".

    A buffer is live in the half-open range [lower, upper). Ctrl-C ends the search and keeps the best offsets so far.

    \b
    Examples:
      tvm-memopt pack buffers.csv -o placed.csv
      tvm-memopt pack buffers.csv -o placed.csv --capacity 1048576 --time-limit 60
    """
    from tvm_memopt.solvers.layout.buffers_csv import read_buffers, write_placed

    request = make_request(time_limit, threads, seed)
    table = read_buffers(buffers)
    started = time.monotonic()
    with stage("searching"):
        found = _search(table.lives, request, capacity)
    seconds = time.monotonic() - started
    offsets = _offsets(buffers, found, capacity)
    write_placed(table, offsets, output)
    document: _Document = {
        "buffers": len(table.rows),
        "arena_nbytes": found.arena_nbytes,
        "lower_bound_nbytes": found.bound_nbytes,
        "capacity_nbytes": capacity,
        "status": "optimal" if found.arena_nbytes == found.bound_nbytes else "feasible",
        "seconds": seconds,
        "nodes": found.nodes,
        "seed": seed,
    }
    emit(as_json, document, f"{output}: {_text(document)}")


def _search(lives: Lifetimes, request: Request, capacity: int | None) -> LayoutOutcome:
    from tvm_memopt.solvers.layout.exact import Effort, search
    from tvm_memopt.solvers.native import call_interruptibly

    def run(flag: np.ndarray) -> LayoutOutcome:
        effort = Effort(request.time_limit, request.seed, request.threads, flag)
        return search(lives, 1, effort, capacity=capacity)

    found, interrupted = call_interruptibly(run)
    if interrupted:
        note("interrupted: writing the best offsets so far")
    return found


def _offsets(source: str, found: LayoutOutcome, capacity: int | None) -> tuple[int, ...]:
    if found.offsets is not None:
        return found.offsets
    if found.proved:
        raise InfeasibleBudgetError(
            f"{source}: the capacity of {capacity} bytes cannot be met: at least {found.bound_nbytes} bytes are needed"
        )
    raise NoPlanError(
        f"{source}: no placement in {capacity} bytes was found in the time limit, and none is proved impossible "
        f"(lower bound {found.bound_nbytes} bytes): allow more time or a larger capacity"
    )


def _text(document: _Document) -> str:
    arena, bound = document["arena_nbytes"] or 0, document["lower_bound_nbytes"]
    gap = arena - bound
    return (
        f"{document['buffers']:,} buffers, arena {arena:,} bytes, bound {bound:,}"
        f"{f' (gap {gap:,})' if gap else ''}, {document['status']}, {document['seconds']:.2f} s"
    )

"""Offsets for the MiniMalloc instances, compared with other allocators: ``python -m benchmarks.layout [--json]``.

It measures the CPU seconds to fit everything in 1 MiB, the smallest arena found in a time limit, and how the time of
greedy placement grows with the number of buffers. An independent checker validates every placement. The allocators of
omnimalloc run if that package is installed. SuperMalloc gets 12 threads, since it tries a third as many bounds as it
has threads.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.tables import geometric_mean, save, table
from tvm_memopt.graph import Buffer, Lifetimes
from tvm_memopt.solvers import native
from tvm_memopt.solvers.layout.buffers_csv import read_buffers
from tvm_memopt.solvers.layout.exact import Effort, greedy, search
from tvm_memopt.solvers.layout.load import load_bound

INSTANCES = Path(__file__).parents[1] / "tests" / "data" / "minimalloc"
CAPACITY = 1 << 20
OMNIMALLOC = ("greedy_by_all", "omni", "hill_climb", "simulated_annealing", "tabu_search", "telamalloc")
Rival = Callable[[Lifetimes, float], Sequence[int]]


@dataclass(frozen=True)
class Run:
    """One placement: its checked arena, and what it cost. ``arena`` is None where nothing was found."""

    arena: int | None
    bound: int
    cpu_seconds: float
    seconds: float
    proved: bool = False


def height(lives: Lifetimes, offsets: Sequence[int]) -> int:
    """The arena of a placement after every pair of buffers has been compared. Raises AssertionError."""
    spans = [(b.first, b.last, o, o + b.nbytes) for b, o in zip(lives.buffers, offsets, strict=True)]
    assert all(low >= 0 for _, _, low, _ in spans), "an offset is negative"
    for index, (first, last, low, high) in enumerate(spans):
        for other_first, other_last, other_low, other_high in spans[:index]:
            apart = last < other_first or other_last < first or high <= other_low or other_high <= low
            assert apart, f"buffer {index} overlaps another"
    return max((high for *_, high in spans), default=0)


def measured(lives: Lifetimes, place: Callable[[], tuple[Sequence[int] | None, bool]]) -> Run:
    wall, cpu = time.perf_counter(), time.process_time()
    offsets, proved = place()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Run(None if offsets is None else height(lives, offsets), load_bound(lives, 1), cpu, wall, proved)


def ours_fits(lives: Lifetimes, effort: Effort) -> Run:
    def place() -> tuple[Sequence[int] | None, bool]:
        found = search(lives, 1, effort, capacity=CAPACITY)
        return found.offsets, found.proved

    return measured(lives, place)


def ours_minimises(lives: Lifetimes, effort: Effort) -> Run:
    def place() -> tuple[Sequence[int] | None, bool]:
        found = search(lives, 1, effort)
        return found.offsets, found.proved

    return measured(lives, place)


def by_size(lives: Lifetimes, best_fit: bool) -> list[int]:
    """Largest first, in the lowest gap (TensorFlow Lite Micro) or the tightest (TensorFlow Lite)."""
    buffers = lives.buffers
    offsets: dict[int, int] = {}
    for i in sorted(range(len(buffers)), key=lambda k: (-buffers[k].nbytes, buffers[k].first)):
        b = buffers[i]
        near = sorted(
            (offsets[j], offsets[j] + buffers[j].nbytes)
            for j in offsets
            if buffers[j].first <= b.last and b.first <= buffers[j].last
        )
        gaps, free = [], 0
        for low, high in near:
            if low - free >= b.nbytes:
                gaps.append((low - free, free))
            free = max(free, high)
        offsets[i] = (min(gaps)[1] if best_fit else gaps[0][1]) if gaps else free
    return [offsets[i] for i in range(len(buffers))]


def rivals() -> dict[str, Rival]:
    found: dict[str, Rival] = {
        "TFLM: size, first fit": lambda lives, _: by_size(lives, best_fit=False),
        "TFLite: size, best fit": lambda lives, _: by_size(lives, best_fit=True),
    }
    try:
        import omnimalloc  # noqa: F401
    except ImportError:
        return found
    found["SuperMalloc, 12 threads"] = lambda lives, seconds: _omnimalloc(lives, "supermalloc", seconds)
    for name in OMNIMALLOC:
        found[f"omnimalloc {name}"] = lambda lives, seconds, name=name: _omnimalloc(lives, name, min(seconds, 3.0))
    return found


def _omnimalloc(lives: Lifetimes, name: str, seconds: float) -> list[int]:
    from omnimalloc import Allocation, allocate, allocators

    classes = {
        "greedy_by_all": "GreedyByAllAllocator", "omni": "OmniAllocator", "hill_climb": "HillClimbAllocator",
        "simulated_annealing": "SimulatedAnnealingAllocator", "tabu_search": "TabuSearchAllocator",
        "telamalloc": "TelamallocAllocator", "supermalloc": "SupermallocAllocator",
    }  # fmt: skip
    kind = getattr(allocators, classes[name])
    try:
        allocator = kind(timeout=seconds, num_threads=12) if name == "supermalloc" else kind(timeout=seconds)
    except TypeError:  # the greedy ones take no time limit
        allocator = kind()
    given = tuple(Allocation(id=i, size=b.nbytes, start=b.first, end=b.last + 1) for i, b in enumerate(lives.buffers))
    return [a.offset for a in sorted(allocate(given, allocator), key=lambda a: a.id)]


def random_lives(n: int, longest: int, seed: int) -> Lifetimes:
    """``n`` buffers over ``n`` steps, each alive for 1 to ``longest`` steps."""
    chance = random.Random(seed)
    begins = [chance.randrange(n) for _ in range(n)]
    ends = [min(n - 1, begin + chance.randrange(longest)) for begin in begins]
    buffers = (Buffer(i, begins[i], ends[i], chance.randint(1, 4096)) for i in range(n))
    return Lifetimes(tuple(buffers), (), n)


def scale() -> dict[str, Any]:
    """Seconds of greedy placement for 1000 to 100 000 buffers, and the slope of their logarithms.

    Where more than some millions of pairs are alive together, only the rules in O(n log n) run.
    """
    sizes = (1_000, 10_000, 100_000)
    document: dict[str, Any] = {}
    for name, longest in {"up to 100 steps": 100, "up to all steps": sizes[-1]}.items():
        runs = []
        for n in sizes:
            lives = random_lives(n, min(n, longest), seed=n)
            begin = time.process_time()
            found = greedy(lives, 1)
            seconds = time.process_time() - begin
            runs.append({"n": n, "cpu_seconds": seconds, "over_bound": found.arena_nbytes / found.bound_nbytes})
        slope = math.log(runs[-1]["cpu_seconds"] / runs[0]["cpu_seconds"]) / math.log(sizes[-1] / sizes[0])
        document[name] = {"runs": runs, "slope": slope}
    return document


def compare(names: Sequence[str], arguments: argparse.Namespace) -> dict[str, Any]:
    native.library()  # loaded once for all
    effort = Effort(arguments.seconds, arguments.seed, arguments.threads)
    document: dict[str, Any] = {"arguments": vars(arguments), "instances": {}}
    for name in names:
        lives = read_buffers(next(INSTANCES.glob(f"{name}.*.csv"))).lives
        runs = {"fits": ours_fits(lives, Effort(arguments.seconds, arguments.seed, 1))}
        runs["ours"] = ours_minimises(lives, effort)
        for rival, place in ({} if arguments.no_rivals else rivals()).items():
            runs[rival] = measured(lives, lambda place=place, lives=lives: (place(lives, arguments.seconds), False))
        document["instances"][name] = {"n": len(lives.buffers), **{k: vars(run) for k, run in runs.items()}}
    return document


def report(document: dict[str, Any]) -> str:
    instances = document["instances"]
    rows = []
    for name, found in instances.items():
        fits, ours = found["fits"], found["ours"]
        fit = fits["arena"] is not None and fits["arena"] <= CAPACITY
        best = [ours["arena"], ours["bound"], ours["proved"], ours["cpu_seconds"]]
        rows.append([name, found["n"], fit, fits["cpu_seconds"], *best])
    total = sum(found["fits"]["cpu_seconds"] for found in instances.values())
    header = ["", "n", "fits 1 MiB", "CPU s", "smallest arena", "load bound", "proved", "CPU s"]
    lines = [table(header, rows), f"fits: {total:.3f} CPU seconds in all", "", "arena / load bound, CPU seconds:"]
    methods = [key for key in next(iter(instances.values())) if key not in ("n", "fits")]
    over = {m: {k: i[m]["arena"] / i[m]["bound"] for k, i in instances.items()} for m in methods}
    cpu = {m: sum(i[m]["cpu_seconds"] for i in instances.values()) for m in methods}
    rows = [[m, *over[m].values(), geometric_mean(over[m].values()), cpu[m]] for m in methods]
    lines.append(table(["", *instances, "mean", "CPU s"], rows))
    if "scale" in document:
        rows = [
            [name, run["n"], run["cpu_seconds"], run["over_bound"], kind["slope"]]
            for name, kind in document["scale"].items()
            for run in kind["runs"]
        ]
        lines += ["", "greedy on random buffers:", table(["lives", "n", "CPU s", "arena / bound", "slope"], rows)]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", default="ABCDEFGHIJK", help="letters of the instances to run")
    parser.add_argument("--seconds", type=float, default=60.0, help="wall-clock limit of each search")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-rivals", action="store_true")
    parser.add_argument("--scale", action="store_true", help="also greedy placement of up to 100 000 random buffers")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    document = compare(arguments.instances, arguments)
    if arguments.scale:
        document["scale"] = scale()
    save("layout", document)
    print(json.dumps(document, indent=1) if arguments.json else report(document))


if __name__ == "__main__":
    main()

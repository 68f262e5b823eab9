"""Whether schedules compute what an unoptimised build does, and how fast they are side by side.

In processes of their own: a schedule that writes where it must not would end the benchmark.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

TOLERANCE = 1e-4
"""Largest difference over the largest value: sums of some hundred float32 values in another order."""


def check(case: str, records: Sequence[str]) -> list[str]:
    """For each record "right", "wrong" or "crashed"."""
    found: list[str] = []
    while len(found) < len(records):
        found += _in_child(_check_all, case, list(records[len(found) :]))
        if len(found) < len(records):
            found.append("crashed")
    return found


def side_by_side(case: str, records: Sequence[str], repeats: int = 60) -> list[float]:
    """Least seconds of each record, measured in turns."""
    return [float(seconds) for seconds in _in_child(_time_all, case, list(records), repeats)]


def _in_child(work: Any, *arguments: Any) -> list[Any]:
    """What ``work`` sends before it ends, however it ends."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=work, args=(theirs, *arguments))
    child.start()
    theirs.close()
    found = []
    try:
        while True:
            found.append(ours.recv())
    except EOFError:
        child.join()
    return found


def _check_all(pipe: Connection, case: str, records: list[str]) -> None:
    from benchmarks.auto_scheduler.cases import CASES, target, unoptimised

    task = CASES[case]()
    dag = task.compute_dag
    values = _values(dag.tensors)
    expected = _outputs(dag.apply_steps_from_state(dag.init_state), unoptimised(), values)
    for record in records:
        found = _outputs(_scheduled(task, record), target(), values)
        largest = max(float(np.abs(one).max()) for one in expected)
        pairs = zip(found, expected, strict=True)
        right = all(float(np.abs(one - other).max()) <= TOLERANCE * largest for one, other in pairs)
        pipe.send("right" if right else "wrong")


def _time_all(pipe: Connection, case: str, records: list[str], repeats: int) -> None:
    import tvm
    from tvm.auto_scheduler.measure_record import load_record_from_string

    from benchmarks.auto_scheduler.cases import CASES, target

    task = CASES[case]()
    timers = []
    for record in records:
        state = load_record_from_string(record)[0].state
        schedule, args = task.compute_dag.apply_steps_from_state(state, task.layout_rewrite_option)
        arrays = [tvm.nd.array(value) for value in _values(args)]
        module = tvm.build(schedule, args, target())
        timers.append((module.time_evaluator(module.entry_name, tvm.cpu(), number=1, repeat=5), arrays))
    seconds: list[list[float]] = [[] for _ in timers]
    for repeat in range(repeats):
        for i in range(len(timers)) if repeat % 2 else reversed(range(len(timers))):
            timer, arrays = timers[i]
            seconds[i].append(min(map(float, timer(*arrays).results)))
    for one in seconds:
        pipe.send(min(one))


def _scheduled(task: Any, record: str) -> Any:
    """The record's schedule. One that was measured with its weights in another layout gets a stage that makes it."""
    from tvm.auto_scheduler import LayoutRewriteOption
    from tvm.auto_scheduler.measure_record import load_record_from_string

    plain = task.layout_rewrite_option == LayoutRewriteOption.NO_REWRITE
    option = LayoutRewriteOption.NO_REWRITE if plain else LayoutRewriteOption.INSERT_TRANSFORM_STAGE
    return task.compute_dag.apply_steps_from_state(load_record_from_string(record)[0].state, option)


def _values(tensors: Any) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal([int(d) for d in tensor.shape]).astype(tensor.dtype) for tensor in tensors]


def _outputs(scheduled: Any, target: Any, values: list[np.ndarray]) -> list[np.ndarray]:
    """Values of the arguments after a run; those that are written start as NaN."""
    import tvm

    schedule, args = scheduled
    arrays = [
        tvm.nd.array(value if isinstance(arg.op, tvm.te.PlaceholderOp) else np.full_like(value, np.nan))
        for arg, value in zip(args, values, strict=True)
    ]
    tvm.build(schedule, args, target)(*arrays)
    return [array.numpy() for array in arrays]

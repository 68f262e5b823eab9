"""One search: a task, a cost model and a seed. What it measured, and how long the model took."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tvm
from tvm import auto_scheduler
from tvm.auto_scheduler import measure
from tvm.auto_scheduler.measure_record import dump_record_to_string

from tvm_memopt.cost_model.tuner.auto_scheduler import GCNModel

MODELS = ("gcn", "xgb")
BUILDERS = 2
"""Builds at once."""


REPEATS = 20
"""Timings of each candidate, short ones, so that some fit between what else the core does."""


@contextmanager
def least_disturbed() -> Iterator[None]:
    """Inside, the least of a candidate's times is its time, for the search and for both models.

    TVM's timer counts wall-clock time, also of what else runs on the core.
    """
    name = "auto_scheduler.local_runner.run"
    whole = tvm.get_global_func(name)

    def run(*arguments: Any) -> list[auto_scheduler.MeasureResult]:
        return [_least(result) for result in whole(*arguments)]

    tvm.register_func(name, run, override=True)
    try:
        yield
    finally:
        tvm.register_func(name, whole, override=True)


@contextmanager
def kept_workers() -> Iterator[None]:
    """Inside, all batches share their worker processes.

    TVM starts new ones for every batch, and a process spends more time with its imports than with its builds.
    """
    names = ("PopenPoolExecutor", "PopenWorker")
    makers = [getattr(measure, name) for name in names]
    made: dict[str, Any] = {}

    def kept(name: str, make: Callable[..., Any]) -> Callable[..., Any]:
        def get(*arguments: Any) -> Any:
            if name not in made:
                made[name] = make(*arguments)
            return made[name]

        return get

    for name, make in zip(names, makers, strict=True):
        setattr(measure, name, kept(name, make))
    try:
        yield
    finally:
        for name, make in zip(names, makers, strict=True):
            setattr(measure, name, make)


def _least(result: auto_scheduler.MeasureResult) -> auto_scheduler.MeasureResult:
    if result.error_no != 0:
        return result
    costs = [min(float(cost) for cost in result.costs)]
    return auto_scheduler.MeasureResult(costs, 0, "", float(result.all_cost), float(result.timestamp))


def make_model(name: str, seed: int, per_round: int) -> Any:
    """The network from the bundled checkpoint, or TVM's trees, used from the second round on."""
    if name == "gcn":
        torch.optim.AdamW([torch.zeros(1)])  # at the first one, torch imports its compiler for some seconds
        return GCNModel.pretrained(seed)
    return auto_scheduler.XGBModel(verbose_eval=0, num_warmup_sample=per_round - 1, seed=seed + 1)


def search(
    task: auto_scheduler.SearchTask, name: str, seed: int, trials: int, per_round: int, population: int
) -> dict[str, Any]:
    """Records as text, seconds of all that ran, and the model's seconds in predictions and updates."""
    np.random.seed(seed)  # from which XGBModel draws its scores before it has learned
    model = make_model(name, seed, per_round)
    spent: dict[str, float] = {"predict": 0.0, "update": 0.0}
    counts = {"predict": 0, "update": 0}
    for method, argument in (("predict", 1), ("update", 0)):
        setattr(model, method, _timed(getattr(model, method), method, argument, spent, counts))
    policy = auto_scheduler.SketchPolicy(
        task, model, seed=seed + 1, verbose=0, params={"evolutionary_search_population": population}
    )
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, least_disturbed(), kept_workers():
        log = str(Path(folder) / "records.json")
        options = auto_scheduler.TuningOptions(
            trials, num_measures_per_round=per_round, verbose=0,
            builder=auto_scheduler.LocalBuilder(n_parallel=BUILDERS, timeout=120),
            runner=auto_scheduler.LocalRunner(60, number=1, repeat=REPEATS, min_repeat_ms=2),
            measure_callbacks=[auto_scheduler.RecordToFile(log)],
        )  # fmt: skip
        task.tune(options, search_policy=policy)
        records = list(auto_scheduler.load_records(log))
    return {
        "seconds": [_seconds(result) for _, result in records],
        "errors": [str(result.error_msg)[-300:] for _, result in records if result.error_no != 0],
        "records": [dump_record_to_string(measured, result) for measured, result in records],
        "wall": time.monotonic() - started,
        "rounds": -(-trials // per_round),
        "predict_seconds": spent["predict"],
        "predicted": counts["predict"],
        "update_seconds": spent["update"],
        "updated": counts["update"],
    }


def _seconds(result: auto_scheduler.MeasureResult) -> float | None:
    return None if result.error_no != 0 else float(result.costs[0])


def _timed(
    method: Callable[..., Any], name: str, argument: int, spent: dict[str, float], counts: dict[str, int]
) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        started = time.perf_counter()
        result = method(*arguments)
        spent[name] += time.perf_counter() - started
        counts[name] += len(arguments[argument])
        return result

    return call

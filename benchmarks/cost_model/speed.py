"""CPU time to score 512 candidates, including features: the graph network and TVM's XGBModel, in one process."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.cost_model.features import single_operators
from benchmarks.tables import geometric_mean, table

CANDIDATES = 512
_DISTINCT = 32
_ROUNDS = 2
_TRAINED_ON = 64


def prediction_seconds(checkpoint: str) -> dict[str, Any]:
    """By program; also as a table under "text"."""
    from tvm.s_tir import meta_schedule as ms

    from tvm_memopt.cost_model.data.programs import random_task
    from tvm_memopt.cost_model.measure.builds import host_target
    from tvm_memopt.cost_model.measure.intrinsics import cpu_intrinsics
    from tvm_memopt.cost_model.measure.sampling import sample
    from tvm_memopt.cost_model.tuner.gcn_cost_model import GCNCostModel

    target = host_target(4)
    programs = {**single_operators(), **{f"random {i}": random_task(0, i).mod for i in (1, 5)}}
    rows, ratios = {}, []
    for name, mod in programs.items():
        found = sample(mod, target, "default", _DISTINCT, 1, ms.database.MemoryDatabase())
        with cpu_intrinsics():
            context = ms.TuneContext(mod=mod, target=target, num_threads=1)
        candidates = [found[i % len(found)] for i in range(CANDIDATES)]
        graph, trees = GCNCostModel(), ms.cost_model.XGBModel(num_warmup_samples=1, num_tuning_cores=1)
        graph.load(checkpoint)
        seconds = np.linspace(1e-4, 2e-4, _TRAINED_ON)
        results = [ms.runner.RunnerResult([float(s)], None) for s in seconds]
        trees.update(context, candidates[:_TRAINED_ON], results)
        ours, theirs = (_least(partial(model.predict, context, candidates)) for model in (graph, trees))
        rows[name] = {"gcn": ours, "xgb": theirs, "ratio": theirs / ours}
        ratios.append(theirs / ours)
        print(name, rows[name], file=sys.stderr, flush=True)
    shown = [(name, row["gcn"] * 1e3, row["xgb"] * 1e3, row["ratio"]) for name, row in rows.items()]
    text = table(("512 candidates of", "gcn, CPU ms", "XGBModel, CPU ms", "ratio"), shown)
    mean = geometric_mean(ratios)
    return {"rows": rows, "text": f"{text}\ngeometric mean of the ratios {mean:.1f}, least {min(ratios):.1f}"}


def _least(work: Callable[[], object]) -> float:
    found = []
    for _ in range(_ROUNDS):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)

"""CPU time of the graph features and of TVM's per-store features: ``python -m benchmarks.cost_model.features``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.references.per_store import per_store_rows
from tests.twins.features.extract import extract_slowly
from tvm_memopt.cost_model.data.programs import random_task
from tvm_memopt.cost_model.features.extract import extract
from tvm_memopt.cost_model.measure.builds import host_target
from tvm_memopt.cost_model.measure.sampling import sample

CANDIDATES = 32
ROUNDS = 5


def single_operators() -> dict[str, Any]:
    import tvm
    from tvm import te, topi

    x = te.placeholder((1, 16, 56, 56), name="x")
    weight, bias = te.placeholder((32, 16, 3, 3), name="weight"), te.placeholder((1, 32, 1, 1), name="bias")
    convolution = topi.nn.relu(topi.add(topi.nn.conv2d_nchw(x, weight, 2, 1, 1), bias))
    a, b = te.placeholder((256, 256), name="a"), te.placeholder((256, 256), name="b")
    rows = te.placeholder((256, 512), name="rows")
    functions = {
        "conv + relu": te.create_prim_func([x, weight, bias, convolution]),
        "matmul": te.create_prim_func([a, b, topi.nn.matmul(a, b)]),
        "softmax": te.create_prim_func([rows, topi.nn.softmax(rows, axis=1)]),
    }
    return {name: tvm.IRModule({"main": function}) for name, function in functions.items()}


def best_milliseconds(work: Callable[[], object], candidates: int) -> float:
    """CPU time of one candidate: the least of some rounds, which other load disturbs least."""
    found = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found) / candidates * 1e3


def main() -> None:
    from tvm.s_tir import meta_schedule as ms

    target = host_target(4)
    programs = {**single_operators(), **{f"random, {t.stages} stages": t.mod for t in map(_random, (2, 5, 8))}}
    print(f"{'program':20} {'stores':>7} {'graph ms':>9} {'python ms':>10} {'per-store ms':>13} {'ratio':>6}")
    for name, mod in programs.items():
        mods = [c.sch.mod for c in sample(mod, target, "default", CANDIDATES, 1, ms.database.MemoryDatabase())]
        graph = best_milliseconds(lambda mods=mods: extract(mods), len(mods))
        python = best_milliseconds(lambda mods=mods: extract_slowly(mods), len(mods))
        rows = best_milliseconds(lambda mods=mods: per_store_rows(mods, target), len(mods))
        stores = len(extract(mods).nodes["statement"]) / len(mods)
        print(f"{name:20} {stores:7.1f} {graph:9.3f} {python:10.3f} {rows:13.3f} {rows / graph:6.1f}")


def _random(index: int) -> Any:
    return random_task(0, index)


if __name__ == "__main__":
    main()

"""A collection that nobody measured: schedules of small programs, with times that follow from their loops."""

import json
from dataclasses import asdict

import numpy as np
import tvm

from tests.cost_model.programs_by_hand import matmul
from tvm_memopt.cost_model.data.manifest import MANIFEST, Manifest
from tvm_memopt.cost_model.data.shards import NAME, Shard, write_shard
from tvm_memopt.cost_model.features.columns import STATEMENT
from tvm_memopt.cost_model.features.extract import extract

TARGET = '{"kind":"llvm","tag":"","keys":["cpu"],"num-cores":4,"mcpu":"x86-64-v3"}'


def schedules(rows, columns, inner, count):
    """Tilings of one matrix product; every other one vectorised."""
    found = []
    for number in range(count):
        sch = tvm.s_tir.Schedule(matmul(rows, columns, inner))
        i, j, k = sch.get_loops(sch.get_sblock("c"))
        outer, tile = sch.split(j, [None, 2 ** (number % 4 + 1)])
        sch.reorder(i, outer, k, tile)
        if number % 2:
            sch.vectorize(tile)
        if number >= 4:
            sch.unroll(k)
        found.append(sch.mod)
    return found


def made_up_seconds(graphs):
    """A nanosecond an iteration, an eighth of it where vectorised."""
    table = graphs.nodes["statement"]
    each = table[:, STATEMENT.index("iterations")] / np.where(table[:, STATEMENT.index("vector_extent")] > 1, 8, 1)
    return np.bincount(graphs.graph_of("statement"), each) * 1e-9


def collection(folder, programs=10, count=8, target=TARGET, prefix="product", slower=1.0, workload=None):
    """Write it; the folder."""
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text(json.dumps(asdict(Manifest(target, "nowhere"))))
    for number in range(programs):
        graphs = extract(schedules(4 * (number + 1), 32, 8, count))
        seconds = slower * made_up_seconds(graphs)[:, None] * np.array([[0.99, 1.0, 1.01]])
        name = f"{prefix}_{number}"
        notes = {"name": name, "origin": "made up", "stages": 1, "workload": workload}
        (folder / name).mkdir()
        write_shard(folder / name / NAME, Shard(seconds, np.arange(count, dtype=np.uint64), notes, graphs))
    return folder

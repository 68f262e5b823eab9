"""Small scheduled modules whose features can be counted by hand, and sampled ones."""

import tvm
from tvm import te
from tvm.s_tir import meta_schedule as ms

from tvm_memopt.cost_model.data.programs import random_task
from tvm_memopt.cost_model.measure.builds import host_target
from tvm_memopt.cost_model.measure.sampling import sample


def matmul(rows=16, columns=32, inner=8):
    a, b = te.placeholder((rows, inner), name="a"), te.placeholder((inner, columns), name="b")
    k = te.reduce_axis((0, inner), name="k")
    c = te.compute((rows, columns), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name="c")
    return tvm.IRModule({"main": te.create_prim_func([a, b, c])})


def scheduled_matmul():
    """i parallel, j split 4 x 8 with the inner part vectorised, k unrolled between them."""
    sch = tvm.s_tir.Schedule(matmul())
    block = sch.get_sblock("c")
    i, j, k = sch.get_loops(block)
    outer, inner = sch.split(j, [None, 8])
    sch.reorder(i, outer, k, inner)
    sch.parallel(i)
    sch.unroll(k)
    sch.vectorize(inner)
    return sch.mod


def pipeline(extent=64, taps=3):
    """A doubled row, then a sum over three neighbours: two stages, the first as yet at the root."""
    x = te.placeholder((extent,), name="x")
    twice = te.compute((extent,), lambda i: x[i] * 2.0, name="twice")
    y = te.compute((extent - taps + 1,), lambda i: twice[i] + twice[i + 1] + twice[i + 2], name="y")
    return tvm.IRModule({"main": te.create_prim_func([x, y])})


def tiled_pipeline():
    """The second stage in tiles of 31, the first computed for each tile as it is needed."""
    sch = tvm.s_tir.Schedule(pipeline())
    outer, _ = sch.split(sch.get_loops(sch.get_sblock("y"))[0], [2, 31])
    sch.compute_at(sch.get_sblock("twice"), outer)
    return sch.mod


def sampled(indices=(0, 4, 9), count=4):
    """Schedules of random programs, inlined and tiled in several ways."""
    found = []
    for index in indices:
        for space in ("default", "few_inlined"):
            candidates = sample(
                random_task(5, index).mod, host_target(4), space, count, 11, ms.database.MemoryDatabase()
            )
            found += [candidate.sch.mod for candidate in candidates]
    return found

"""Write the stored programs: ``python -m tests.cost_model.features.old_programs.make`` under each of the two TVMs.

Each case is one computation brought to the same loops by te of the Relay-era TVM (0.16), which writes NAME.json, and by
a schedule of the present TVM, which writes the rows that its program has, NAME.rows.json.
"""

from __future__ import annotations

import json
from pathlib import Path

import tvm
from tvm import te, topi

from tvm_memopt.cost_model.features.extract import extract
from tvm_memopt.cost_model.features.unit_loops import without_unit_loops

FOLDER = Path(__file__).parent
OLD = not hasattr(tvm, "s_tir")
CASES = ("matmul", "tiled_matmul", "conv2d_relu", "softmax")


def matmul():
    a, b = te.placeholder((16, 8), name="a"), te.placeholder((8, 32), name="b")
    k = te.reduce_axis((0, 8), name="k")
    return [a, b, te.compute((16, 32), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name="c")]


def conv2d_relu():
    tir = tvm.tir if OLD else tvm.tirx
    x, w = te.placeholder((1, 8, 14, 14), name="x"), te.placeholder((16, 8, 3, 3), name="w")
    c, y, z = te.reduce_axis((0, 8), name="c"), te.reduce_axis((0, 3), name="y"), te.reduce_axis((0, 3), name="z")

    def inside(i, j):
        return tir.all(i >= 1, i < 15, j >= 1, j < 15)

    pad = te.compute(
        (1, 8, 16, 16),
        lambda n, d, i, j: tir.if_then_else(inside(i, j), x[n, d, i - 1, j - 1], tir.const(0.0, "float32")),
        name="pad",
    )
    conv = te.compute(
        (1, 16, 14, 14),
        lambda n, f, i, j: te.sum(pad[n, c, i + y, j + z] * w[f, c, y, z], axis=[c, y, z]),
        name="conv",
    )
    return [x, w, pad, conv, topi.nn.relu(conv)]


def softmax():
    x = te.placeholder((12, 20), name="x")
    return [x, topi.nn.softmax(x)]


def old_function(name):
    from tvm.driver.build_module import schedule_to_module

    if name == "matmul":
        args = matmul()
        schedule = te.create_schedule(args[-1].op)
    elif name == "tiled_matmul":
        args = matmul()
        schedule = te.create_schedule(args[-1].op)
        stage = schedule[args[-1]]
        i, j, k = *stage.op.axis, stage.op.reduce_axis[0]
        (i0, i1), (j0, j1), (k0, k1) = (stage.split(axis, size) for axis, size in ((i, 4), (j, 8), (k, 4)))
        stage.reorder(i0, j0, k0, i1, k1, j1)
        outer = stage.fuse(i0, j0)
        stage.parallel(outer)
        stage.vectorize(j1)
        stage.pragma(outer, "auto_unroll_max_step", 16)
    elif name == "conv2d_relu":
        x, w, pad, conv, relu = conv2d_relu()
        args = [x, w, relu]
        schedule = te.create_schedule(relu.op)
        n, f, i, j = schedule[relu].op.axis
        (f0, f1), (i0, i1) = schedule[relu].split(f, 8), schedule[relu].split(i, 2)
        schedule[relu].reorder(n, f0, i0, f1, i1, j)
        outer = schedule[relu].fuse(n, f0, i0)
        schedule[relu].parallel(outer)
        schedule[relu].vectorize(j)
        schedule[conv].compute_at(schedule[relu], outer)
        axes, (c, y, z) = schedule[conv].op.axis, schedule[conv].op.reduce_axis
        c0, c1 = schedule[conv].split(c, 4)
        schedule[conv].reorder(axes[0], c0, y, z, axes[1], axes[2], c1, axes[3])
        schedule[pad].compute_at(schedule[relu], outer)
    else:
        args = softmax()
        schedule = te.create_schedule(args[-1].op)
    return schedule_to_module(schedule, args)["main"]


def new_module(name):
    if name == "conv2d_relu":
        return new_conv2d_relu()
    if name == "softmax":
        sch = tvm.s_tir.Schedule(te.create_prim_func(softmax()))
        for block in (sch.get_sblock(stage) for stage in ("T_softmax_maxelem", "T_softmax_expsum")):
            sch.decompose_reduction(block, sch.get_loops(block)[-1])
        return sch.mod
    sch = tvm.s_tir.Schedule(te.create_prim_func(matmul()))
    block = sch.get_sblock("c")
    i, j, k = sch.get_loops(block)
    if name == "matmul":
        sch.decompose_reduction(block, k)
        return sch.mod
    (i0, i1), (j0, j1), (k0, k1) = (sch.split(loop, [None, size]) for loop, size in ((i, 4), (j, 8), (k, 4)))
    sch.reorder(i0, j0, k0, i1, k1, j1)
    outer = sch.fuse(i0, j0)
    sch.parallel(outer)
    sch.vectorize(j1)
    sch.annotate(outer, "pragma_auto_unroll_max_step", 16)
    sch.vectorize(sch.get_loops(sch.decompose_reduction(block, k0))[-1])
    return sch.mod


def new_conv2d_relu():
    x, w, _, _, relu = conv2d_relu()
    sch = tvm.s_tir.Schedule(te.create_prim_func([x, w, relu]))
    pad, conv, last = (sch.get_sblock(found) for found in ("pad", "conv", "compute"))
    n, f, i, j = sch.get_loops(last)
    (f0, f1), (i0, i1) = sch.split(f, [None, 8]), sch.split(i, [None, 2])
    sch.reorder(n, f0, i0, f1, i1, j)
    outer = sch.fuse(n, f0, i0)
    sch.parallel(outer)
    sch.vectorize(j)
    sch.compute_at(conv, outer)
    f, i, j, c, y, z = sch.get_loops(conv)[-6:]
    c0, c1 = sch.split(c, [None, 4])
    sch.reorder(c0, y, z, f, i, c1, j)
    sch.decompose_reduction(conv, c0)
    sch.compute_at(pad, outer, index=0)
    return sch.mod


def graph_as_json(graphs):
    """Rows and ends by type, without loops that run once."""
    graphs = without_unit_loops(graphs)
    nodes = {name: rows.tolist() for name, rows in graphs.nodes.items()}
    edges = {" ".join(key): [ends.tolist(), graphs.edge_values[key].tolist()] for key, ends in graphs.edges.items()}
    return {"nodes": nodes, "edges": edges}


if __name__ == "__main__":
    for name in CASES:
        if OLD:
            (FOLDER / f"{name}.json").write_text(tvm.ir.save_json(old_function(name)))
        else:
            (FOLDER / f"{name}.rows.json").write_text(json.dumps(graph_as_json(extract([new_module(name)]))))

"""Use the stages as passes in your own pipeline, and inspect the results: python examples/02_own_pipeline.py"""

import json

import numpy as np
import tvm
from tvm import relax

from tvm_memopt.passes.pipeline import GRAPH_ATTR, extract_graphs, plan_arena, reorder_calls
from tvm_memopt.passes.relax.lowering import passes_after_plan, passes_before_plan

builder = relax.BlockBuilder()
x = relax.Var("x", relax.TensorType([1, 3, 64, 64], "float32"))
weight = relax.const(np.random.default_rng(0).standard_normal((16, 3, 3, 3)).astype("float32"))
with builder.function("main", [x]):
    with builder.dataflow():
        y = builder.emit(relax.op.nn.relu(relax.op.nn.conv2d(x, weight, padding=1)))
        result = builder.emit_output(relax.op.nn.max_pool2d(y, (2, 2), strides=(2, 2)))
    builder.emit_func_output(result)

target = tvm.target.Target("llvm")
with target:
    lowered = tvm.transform.Sequential([*passes_before_plan(target), extract_graphs()])(builder.get())
    graph = json.loads(str(lowered["main"].attrs[GRAPH_ATTR]))
    print([op["name"] for op in graph["ops"]])
    planned = tvm.transform.Sequential([reorder_calls(), plan_arena()])(lowered)
    print(planned["main"].script(show_meta=False))
    final = tvm.transform.Sequential(passes_after_plan(target))(planned)
executable = relax.build(final, target, relax_pipeline=None)
machine = relax.VirtualMachine(executable, tvm.cpu())
print(machine["main"](tvm.runtime.tensor(np.ones((1, 3, 64, 64), "float32"))).shape)

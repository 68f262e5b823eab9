"""The same network through Relay or through Relax, whichever TVM is installed: python examples/04_relay.py"""

import tempfile
from pathlib import Path

import numpy as np
import tvm

import tvm_memopt as mo
from tvm_memopt.graph import given_order, peak_live

RNG = np.random.default_rng(0)
X = RNG.standard_normal((1, 3, 32, 32)).astype("float32")
# Channels of the result and the input of each convolution. The branch that comes first has the larger result, which
# would wait for the other branch.
CHANNELS = {"first": (16, 3), "first_end": (64, 16), "second": (64, 3), "second_end": (8, 64), "join": (4, 72)}
WEIGHTS = {
    name: (RNG.standard_normal((*channels, 3, 3)) * 0.2).astype("float32") for name, channels in CHANNELS.items()
}


def with_relay():
    from tvm import relay

    def conv(data, name):
        weight, channels = relay.const(WEIGHTS[name]), CHANNELS[name][0]
        made = relay.nn.conv2d(data, weight, padding=(1, 1), channels=channels, kernel_size=(3, 3))
        return relay.nn.relu(made)

    x = relay.var("x", shape=X.shape)
    ends = [conv(relay.nn.max_pool2d(conv(x, n), (2, 2), (2, 2)), f"{n}_end") for n in ("first", "second")]
    result = conv(relay.concatenate(ends, axis=1), "join")
    mod = relay.transform.InferType()(tvm.IRModule.from_expr(relay.Function([x], result)))

    built = mo.relay.build(mod, executor="aot")
    report(built.planned.extraction.graph, built.planned.schedule, built.planned.plan)
    print(f"workspace pool {built.pools.pools['global_workspace']:,}")
    print(f"TVM's best algorithm {best_of_tvm(mod):,}")

    with tempfile.TemporaryDirectory() as folder:
        built.factory.export_library(str(Path(folder, "model.so")))
        loaded = tvm.runtime.load_module(str(Path(folder, "model.so")))
        module = tvm.runtime.executor.AotModule(loaded["default"](tvm.cpu()))
        module.set_input("x", X)
        module.run()
        return module.get_output(0).numpy()


def best_of_tvm(mod):
    """The smallest workspace pool that the algorithms of TVM's memory planner give, in TVM's order of the calls."""
    from tvm import relay

    found = []

    @tvm.register_func("tir.usmp.algo.all_of_tvm", override=True)
    def place(buffers, pressure):
        for algorithm in ("greedy_by_size", "greedy_by_conflicts", "hill_climb"):
            placed = tvm.get_global_func(f"tir.usmp.algo.{algorithm}")(buffers, pressure)
            workspace = [(b, p) for b, p in placed.items() if "const" not in str(p.pool_info.pool_name)]
            found.append(max(int(p.byte_offset) + int(b.size_bytes) for b, p in workspace))
        return placed

    config = {**mo.relay.usmp_config(), "tir.usmp.custom_algorithm": "all_of_tvm"}
    executor = {"executor": mo.relay.aot_executor(), "runtime": relay.backend.Runtime("cpp")}
    with tvm.transform.PassContext(opt_level=3, config=config):
        relay.build(mod, mo.relay.default_target(), **executor)
    return min(found)


def with_relax():
    from tvm import relax

    def conv(data, name):
        return relax.op.nn.relu(relax.op.nn.conv2d(data, relax.const(WEIGHTS[name]), padding=(1, 1)))

    x = relax.Var("x", relax.TensorType(X.shape, "float32"))
    builder, ends = relax.BlockBuilder(), []
    with builder.function("main", [x]):
        with builder.dataflow():
            for name in ("first", "second"):
                pooled = relax.op.nn.max_pool2d(conv(x, name), (2, 2), strides=(2, 2))
                ends.append(builder.emit(conv(pooled, f"{name}_end")))
            result = builder.emit_output(conv(relax.op.concat(ends, axis=1), "join"))
        builder.emit_func_output(result)
    mod = builder.get()

    planned, plan = mo.optimize(mod, "llvm")
    report(mo.extract(mod), plan.schedule, plan)
    machine = relax.VirtualMachine(tvm.compile(planned, "llvm"), tvm.cpu())
    return machine["main"](tvm.runtime.tensor(X)).numpy()


def report(graph, schedule, plan):
    print("order:", *(graph.ops[op].name for op in schedule), sep="\n  ")
    print(f"peak of TVM's order {peak_live(graph, given_order(graph)):,}")
    print(f"peak of this order {peak_live(graph, schedule):,}")
    print(f"arena {plan.arena_nbytes:,}, {plan.status}")
    print(f"proved lower bound {plan.lower_bound_nbytes:,}")


try:
    import tvm.relay
except ImportError:
    print("Relax, TVM", tvm.__version__)
    output = with_relax()
else:
    print("Relay, TVM", tvm.__version__)
    output = with_relay()
print("output", output.shape, f"mean {output.mean():.4f}")

"""Build, run and compare one network of the Relay benchmark."""

from __future__ import annotations

import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import tvm
from tvm import relay
from tvm.contrib import graph_executor
from tvm.relay.backend import Runtime

import tvm_memopt as mo
from benchmarks.relay.networks import NETWORKS
from tvm_memopt.errors import MemoptError

RIVALS = ("greedy_by_size", "greedy_by_conflicts", "hill_climb")


def measure_network(name: str, time_limit: float, repeats: int, budget: str | None) -> dict[str, Any]:
    """One row: the network of that name on the graph and the ahead-of-time executor."""
    mod, params = NETWORKS[name]()
    inputs = _inputs(mod, params)
    try:
        unmodified = mo.relay.build_unmodified(mod, None, params)
    except tvm.TVMError as error:
        return _on_virtual_machine(mod, params, inputs, str(error).strip().splitlines()[-1])
    expected = _outputs(_graph_module(unmodified), inputs)
    theirs, rival = _rivals(mod, params)
    graph = mo.relay.build(mod, params=params, time_limit=time_limit)
    aot = mo.relay.build(mod, params=params, executor="aot", time_limit=time_limit)
    if aot.planned is None:
        return {"note": "; ".join(aot.notes)}
    modules = {"planned": _aot_module(aot.factory), "unmodified": _aot_module(rival)}
    equal = [_same(_outputs(_graph_module(graph.factory), inputs), expected)]
    equal.append(_same(_outputs(modules["planned"], inputs), expected))
    plan = aot.planned.plan
    row: dict[str, Any] = {
        "calls": len(aot.planned.extraction.graph.ops),
        "theirs": theirs,
        "theirs_nbytes": min(theirs.values()),
        "pool_nbytes": _workspace(aot.factory),
        "ratio": _workspace(aot.factory) / min(theirs.values()),
        "bound_nbytes": plan.lower_bound_nbytes,
        "scratch_nbytes": _scratch_at_peak(aot.planned),
        "constants_nbytes": sum(n for pool, n in aot.pools.pools.items() if "const" in pool),
        "method": aot.pools.method,
        "storage_given_nbytes": graph.storage.given_nbytes,
        "storage_nbytes": graph.storage.nbytes,
        "storage_bound_nbytes": graph.storage.bound_nbytes,
        "equal": all(equal),
        "theirs_equal": _same(_outputs(modules["unmodified"], inputs), expected),
        "order_as_planned": _order_as_planned(aot) and _graph_order_as_planned(graph),
        "pool_as_planned": _workspace(aot.factory) == plan.arena_nbytes,
        "seconds_ratio": _seconds_ratio(modules["planned"], modules["unmodified"], inputs, repeats),
    }
    if budget:
        given = (mod, params, inputs, expected)
        row["budget"] = _with_budget(
            given, _relative_to(row["pool_nbytes"], budget), time_limit, modules["planned"], repeats
        )
    return row


def _inputs(mod: Any, params: dict[str, Any]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    values = {}
    for p in mod["main"].params:
        if p.name_hint not in params:
            shape, dtype = [int(d) for d in p.checked_type.shape], str(p.checked_type.dtype)
            data = rng.standard_normal(shape) if "float" in dtype else rng.integers(-100, 100, shape)
            values[p.name_hint] = data.astype(dtype)
    return values


def _graph_module(factory: Any) -> Any:
    return graph_executor.GraphModule(factory["default"](tvm.cpu()))


def _aot_module(factory: Any) -> Any:
    path = Path(tempfile.mkdtemp()) / "module.so"
    factory.export_library(str(path))
    return tvm.runtime.executor.AotModule(tvm.runtime.load_module(str(path))["default"](tvm.cpu()))


def _outputs(module: Any, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    for name, value in inputs.items():
        module.set_input(name, value)
    module.run()
    return [module.get_output(i).numpy() for i in range(module.get_num_outputs())]


def _same(ours: list[np.ndarray], theirs: list[np.ndarray]) -> bool:
    pairs = zip(ours, theirs, strict=False)
    return len(ours) == len(theirs) and all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


def _rivals(mod: Any, params: dict[str, Any]) -> tuple[dict[str, int], Any]:
    """The workspace of each of TVM's algorithms on the given order, and a build with the last."""
    found: dict[str, int] = {}

    @tvm.register_func("tir.usmp.algo.benchmark_rivals", override=True)
    def place(buffers: Any, pressure: Any) -> Any:
        for rival in RIVALS:
            placed = tvm.get_global_func(f"tir.usmp.algo.{rival}")(buffers, pressure)
            work = [(b, p) for b, p in placed.items() if "const" not in str(p.pool_info.pool_name)]
            found[rival] = max((int(p.byte_offset) + int(b.size_bytes) for b, p in work), default=0)
        return placed

    config = {**mo.relay.usmp_config(), "tir.usmp.custom_algorithm": "benchmark_rivals"}
    with tvm.transform.PassContext(opt_level=3, config=config):
        executor = {"executor": mo.relay.aot_executor(), "runtime": Runtime("cpp")}
        factory = relay.build(mod, mo.relay.default_target(), params=params, **executor)
    return found, factory


def _workspace(factory: Any) -> int:
    pools = factory.executor_codegen_metadata.pool_inputs.items()
    return sum(int(p.allocated_size) for v, p in pools if "const" not in v.name)


def _scratch_at_peak(planned: Any) -> int:
    """Bytes of kernels' scratch among the buffers that are alive at the peak of the plan."""
    scratch = {t for ids in planned.stages.scratch_of.values() for t in ids}
    steps = range(len(planned.stages.schedule))
    live = [[a for a in planned.plan.allocations if a.first <= step <= a.last] for step in steps]
    peak = max(live, key=lambda allocations: sum(a.nbytes for a in allocations))
    return sum(a.nbytes for a in peak if a.tensor in scratch)


def _order_as_planned(built: Any) -> bool:
    """Whether each kernel call of the built main function has the shapes of the planned call at its place."""
    main = next(
        f for m in built.factory.lowered_ir_mods.values() for v, f in m.functions.items() if "main" in v.name_hint
    )
    found = []

    def visit(node: Any) -> None:
        if isinstance(node, tvm.tir.Call) and getattr(node.op, "name", "") == "tir.tvm_call_cpacked":
            found.append(Counter(_array_shapes(node)))

    tvm.tir.stmt_functor.post_order_visit(main.body, visit)
    calls = [c for op in built.planned.schedule if not (c := built.planned.extraction.program.calls[op]).view]
    wanted = [Counter(_shape(v) for v in c.outputs) for c in calls]
    return len(found) == len(wanted) and all(not w - f for w, f in zip(wanted, found, strict=True))


def _array_shapes(call: Any) -> list[tuple[int, ...]]:
    arrays = [a for a in call.args if getattr(getattr(a, "op", None), "name", "") == "tir.tvm_stack_make_array"]
    return [tuple(int(d) for d in array.args[1].args) for array in arrays]


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(int(d) for d in value.type.shape)


def _graph_order_as_planned(built: Any) -> bool:
    import json

    graph = json.loads(built.factory.get_graph_json())
    shapes, pointer = graph["attrs"]["shape"][1], graph["node_row_ptr"]
    nodes = [i for i, n in enumerate(graph["nodes"]) if n["op"] != "null"]
    found = [tuple(shapes[pointer[i]]) for i in nodes]
    calls = [built.planned.extraction.program.calls[op] for op in built.planned.schedule]
    return found == [_shape(c.outputs[0]) for c in calls]


def _seconds_ratio(ours: Any, theirs: Any, inputs: dict[str, np.ndarray], repeats: int) -> float:
    """Median time of a call of one module relative to the other's, called alternately."""
    for module in (ours, theirs):
        for name, value in inputs.items():
            module.set_input(name, value)
        module.run()
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for module, times in zip((ours, theirs), seconds, strict=True):
            start = time.process_time()
            module.run()
            times.append(time.process_time() - start)
    return median(seconds[0]) / max(median(seconds[1]), 1e-9)


def _relative_to(nbytes: int, budget: str) -> str:
    """A budget in bytes. A percentage is relative to ``nbytes``, since the search may have lowered the peak."""
    return str(int(nbytes * float(budget[:-1]) / 100)) if budget.endswith("%") else budget


def _with_budget(given: Any, budget: str, time_limit: float, unlimited: Any, repeats: int) -> dict[str, Any]:
    mod, params, inputs, expected = given
    try:
        built = mo.relay.build(mod, params=params, executor="aot", budget=budget, time_limit=time_limit)
    except MemoptError as error:
        return {"error": re.sub(r"\s+", " ", str(error))}
    module, plan = _aot_module(built.factory), built.planned.plan
    return {
        "budget_nbytes": plan.budget_nbytes,
        "pool_nbytes": _workspace(built.factory),
        "repeats": len(built.planned.schedule) - len(built.planned.extraction.graph.ops),
        "equal": _same(_outputs(module, inputs), expected),
        "predicted_extra": plan.cost / plan.base_cost - 1 if plan.base_cost else 0.0,
        "measured_extra": _seconds_ratio(module, unlimited, inputs, repeats) - 1,
    }


def _on_virtual_machine(mod: Any, params: Any, inputs: Any, reason: str) -> dict[str, Any]:
    """What runs on the virtual machine alone."""
    outputs = []
    built = mo.relay.build(mod, params=params, executor="vm")
    for executable in (built.factory, mo.relay.build_unmodified(mod, None, params, executor="vm")):
        machine = tvm.runtime.vm.VirtualMachine(executable, tvm.cpu())
        machine.set_input("main", **inputs)
        outputs.append([machine.run().numpy()])
    equal = "equal" if _same(*outputs) else "NOT equal"
    return {"note": f"virtual machine only ({reason}): outputs {equal}; {'; '.join(built.notes)}"}

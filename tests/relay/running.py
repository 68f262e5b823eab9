"""Run what relay.build makes, on its three executors."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import tvm
from tvm.contrib import graph_executor


def inputs_of(mod, params, seed=1):
    rng = np.random.default_rng(seed)
    values = {}
    for p in mod["main"].params:
        if p.name_hint not in params:
            shape, dtype = [int(d) for d in p.checked_type.shape], p.checked_type.dtype
            data = rng.standard_normal(shape) if "float" in dtype else rng.integers(-100, 100, shape)
            values[p.name_hint] = data.astype(dtype)
    return values


def outputs_of(factory, inputs, executor="graph"):
    """The flattened results as arrays."""
    if executor == "vm":
        machine = tvm.runtime.vm.VirtualMachine(factory, tvm.cpu())
        machine.set_input("main", **inputs)
        return _leaves(machine.run())
    if executor == "aot":  # its factory has no code before it is linked
        path = Path(tempfile.mkdtemp()) / "module.so"
        factory.export_library(str(path))
        module = tvm.runtime.executor.AotModule(tvm.runtime.load_module(str(path))["default"](tvm.cpu()))
    else:
        module = graph_executor.GraphModule(factory["default"](tvm.cpu()))
    for name, value in inputs.items():
        module.set_input(name, value)
    module.run()
    return [module.get_output(i).numpy() for i in range(module.get_num_outputs())]


def _leaves(value):
    if isinstance(value, tvm.nd.NDArray):
        return [value.numpy()]
    return [leaf for part in value for leaf in _leaves(part)]


def workspace_nbytes(factory):
    """The workspace pool of an ahead-of-time module, as its metadata states it."""
    pools = factory.executor_codegen_metadata.pool_inputs.items()
    return sum(int(p.allocated_size) for v, p in pools if "const" not in v.name)


def same(ours, theirs):
    """Whether the results are equal bit for bit, NaN included."""
    pairs = zip(ours, theirs, strict=False)
    return len(ours) == len(theirs) and all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)

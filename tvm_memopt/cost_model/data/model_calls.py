"""A whole model as a graph of kernel calls, with the tensors between them and the measured time of each."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tvm_memopt.atomic import atomic_path
from tvm_memopt.cost_model.data.shards import graph_arrays, graphs_of
from tvm_memopt.cost_model.features.columns import FEATURE_VERSION
from tvm_memopt.cost_model.features.extract import Graphs, compress
from tvm_memopt.errors import MemoptError

if TYPE_CHECKING:
    import tvm

    from tvm_memopt.graph import Graph
    from tvm_memopt.runtime.loading import CompiledModule

CALL_COLUMNS = ("input_nbytes", "output_nbytes", "inputs", "outputs", "readers", "coldest_input_nbytes")
"""Columns of a call. ``coldest_input_nbytes``: bytes that other calls moved since the oldest input was written."""
EDGE_COLUMNS = ("nbytes", "moved_nbytes", "steps")
"""Columns of a tensor from its writer to a reader. ``moved_nbytes``: bytes that the calls in between moved."""
FORMAT = "memopt-calls/1"


@dataclass(frozen=True)
class Calls:
    """The kernel calls of one model in program order.

    ``kernels``: int64 [calls], index of each call's kernel in ``names``. ``values``: float32 [calls, CALL_COLUMNS],
    compressed. ``edges``: int64 [2, edges]. ``edge_values``: float32 [edges, EDGE_COLUMNS], compressed. ``seconds``:
    float64 [calls], measured within the model, NaN if unmeasured.
    """

    names: list[str]
    kernels: np.ndarray
    values: np.ndarray
    edges: np.ndarray
    edge_values: np.ndarray
    seconds: np.ndarray

    def __len__(self) -> int:
        return len(self.kernels)


_CALL_ARRAYS = tuple(field.name for field in fields(Calls) if field.name != "names")


def calls_of(graph: Graph, callees: Sequence[str | None], seconds: Sequence[float] | None = None) -> Calls:
    """Extract the kernel calls of a ``memopt-graph/1``.

    ``callees``: the kernel of each op; ops with None, such as views, are skipped and looked through. ``seconds``: of
    each kernel call, in order.
    """
    number = {op: i for i, op in enumerate(i for i, callee in enumerate(callees) if callee is not None)}
    names = sorted({callee for callee in callees if callee is not None})
    size = [tensor.nbytes for tensor in graph.tensors]
    moved = np.concatenate([[0], np.cumsum([sum(size[t] for t in (*o.inputs, *o.outputs)) for o in graph.ops])])
    writer = {tensor: i for i, op in enumerate(graph.ops) for tensor in op.outputs}
    edges, values = [], []
    for reader, call in number.items():
        for tensor in graph.ops[reader].inputs:
            for source in _kernels_behind(graph, writer, number, tensor):
                if source < reader:
                    edges.append((number[source], call))
                    values.append((size[tensor], moved[reader] - moved[source + 1], reader - source))
    table = np.array(values, np.float64).reshape(-1, len(EDGE_COLUMNS))
    ends = np.array(edges, np.int64).reshape(-1, 2).T
    rows = np.array([_row(graph, size, op) for op in number], np.float64).reshape(-1, len(CALL_COLUMNS) - 2)
    readers = np.bincount(ends[0], minlength=len(number)).astype(np.float64)
    coldest = np.zeros(len(number))
    np.maximum.at(coldest, ends[1], table[:, 1])
    return Calls(
        names, np.array([names.index(str(callees[op])) for op in number], np.int64),
        compress(np.column_stack([rows, readers, coldest])), ends, compress(table),
        np.full(len(number), np.nan) if seconds is None else np.asarray(seconds, np.float64),
    )  # fmt: skip


def _row(graph: Graph, size: list[int], op: int) -> tuple[float, ...]:
    inputs, outputs = graph.ops[op].inputs, graph.ops[op].outputs
    return sum(size[t] for t in inputs), sum(size[t] for t in outputs), len(inputs), len(outputs)


def _kernels_behind(graph: Graph, writer: dict[int, int], number: dict[int, int], tensor: int) -> list[int]:
    """The kernel that wrote a tensor, or the kernels that wrote what a view aliases."""
    op = writer.get(tensor)
    if op is None:
        return []
    if op in number:
        return [op]
    found = [
        s for t in graph.ops[op].inputs if writer.get(t, op) < op for s in _kernels_behind(graph, writer, number, t)
    ]
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class NetworkSample:
    """A model's calls and the compressed graphs of its kernels, in the order of ``calls.names``."""

    name: str
    calls: Calls
    graphs: Graphs


def sample_of(
    lowered: tvm.IRModule, target: tvm.target.Target, name: str, seconds: Sequence[float] | None = None
) -> NetworkSample:
    """Make the sample of the main function in a module after CallTIRRewrite.

    Raises MemoptError for a kernel with symbolic dimensions.
    """
    import tvm

    from tvm_memopt.cost_model.data.samples import compressed
    from tvm_memopt.cost_model.features.extract import extract
    from tvm_memopt.passes.compile import main_function
    from tvm_memopt.passes.relax.planning import PlanOptions, extract_module

    functions = extract_module(lowered, target, PlanOptions()).functions
    found = functions[main_function(functions)]
    callees = [operation.callee if operation.kind == "kernel" else None for operation in found.operations]
    calls = calls_of(found.graph, callees, seconds)
    mods = [tvm.IRModule({"main": lowered[kernel].with_attr("global_symbol", "main")}) for kernel in calls.names]
    try:
        graphs = compressed(extract(mods))
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise MemoptError(f"{name}: a kernel has no graph, as with symbolic dimensions: {error}") from error
    return NetworkSample(name, calls, graphs)


def measure_calls(
    executable: CompiledModule, inputs: Sequence[np.ndarray], kernels: set[str], repeats: int = 5
) -> list[float]:
    """Measure CPU seconds of each kernel call within the model, in call order: the median over runs.

    Meaningful only if TVM_NUM_THREADS=1 is set in the environment before TVM starts threads.
    """
    import time

    from tvm_memopt.runtime.execute import to_tensors
    from tvm_memopt.runtime.loading import load_machine

    machine, runs = load_machine(executable, "pooled"), []
    tensors = to_tensors(inputs)
    for _ in range(repeats + 1):
        times: list[float] = []
        clock = [0.0]

        def watch(
            _function: object, symbol: str, before: bool, _result: object, *_arguments: object,
            _times: list[float] = times, _clock: list[float] = clock,
        ) -> int:  # fmt: skip
            if symbol in kernels:
                if before:
                    _clock[0] = time.process_time()
                else:
                    _times.append(time.process_time() - _clock[0])
            return 0

        machine.set_instrument(watch)
        machine["main"](*tensors)
        runs.append(times)
    if len({len(times) for times in runs}) != 1:
        raise MemoptError("the number of kernel calls varies between runs of the model: calls cannot be matched")
    return [float(second) for second in np.median(np.array(runs[1:]), axis=0)]


def write_sample(path: Path, sample: NetworkSample) -> None:
    """Write a sample as a numpy archive without pickles, by atomic rename."""
    # Any, because numpy.savez also has keywords of other types.
    arrays: dict[str, Any] = {name: getattr(sample.calls, name) for name in _CALL_ARRAYS}
    arrays.update(graph_arrays(sample.graphs))
    header = {
        "format": FORMAT, "feature_version": FEATURE_VERSION, "name": sample.name, "names": sample.calls.names
    }  # fmt: skip
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, header=np.array(json.dumps(header)), **arrays)


def read_sample(path: Path) -> NetworkSample:
    """Read a file of write_sample. Raises MemoptError if it is damaged or of another feature version."""
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            for key, wanted in (("format", FORMAT), ("feature_version", FEATURE_VERSION)):
                if header[key] != wanted:
                    raise ValueError(f"{key} is {header[key]}, expected {wanted}")
            calls = Calls(header["names"], *(file[name] for name in _CALL_ARRAYS))
            return NetworkSample(header["name"], calls, graphs_of(file))
    except OSError as error:
        raise MemoptError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise MemoptError(f"{path}: is damaged: {error}") from error

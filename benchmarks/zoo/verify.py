"""Check that every model of the set imports, compiles with TVM's own fusing pipeline and matches its source framework.

``python -m benchmarks.zoo.verify [NAME ...]`` checks each model in a separate process and prints one row for it.
``--json`` prints one JSON object per line instead.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import zoo
from benchmarks.zoo.reference import reference_outputs

_HEADER = f"{'model':<20} {'kernels':>7} {'import s':>8} {'compile s':>9} {'plan bytes':>11} {'error':>8}  result"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit status 0 when no available model failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo.verify", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="models; all when left out")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.here:
        print(json.dumps(verify(options.names[0])))
        return 0
    if not options.json:
        print(_HEADER)
    rows = []
    for name in options.names or zoo.MODELS:
        rows.append(_in_subprocess(name))
        print(json.dumps(rows[-1]) if options.json else _row(rows[-1]), flush=True)
    return int(any(row["result"] not in ("ok", "absent") for row in rows))


def verify(name: str) -> dict[str, Any]:
    """Import, compile, run and compare one model; errors are relative to the largest reference value."""
    reason = zoo.available(name)
    if reason is not None:
        return {"model": name, "result": "absent", "reason": reason}
    model = zoo.MODELS[name]
    path = model.source()
    start = time.perf_counter()
    module = model.load()
    imported = time.perf_counter()
    machine, kernels, plan = _compile(module)
    compiled = time.perf_counter()
    row: dict[str, Any] = {"model": name, "kernels": kernels, "plan_nbytes": plan}
    row |= {"import_seconds": imported - start, "compile_seconds": compiled - imported}
    batches = [zoo.load_inputs(name, seed) for seed in (1, 2)]
    ours = [_run(machine, batch) for batch in batches]
    theirs = [reference_outputs(path, batch) for batch in batches]
    row["error"] = max(_distance(a, b) for a, b in zip(ours, theirs, strict=True))
    row["sensitivity"] = _distance(ours[0], ours[1])
    finite = all(np.isfinite(value).all() for outputs in ours for value in outputs)
    row["result"] = (
        "ok"
        if finite and row["error"] <= min(model.tolerance, row["sensitivity"] / 2)
        else "outputs differ or do not vary"
    )
    return row


def _compile(module: Any) -> tuple[Any, int, int]:
    import tvm
    from tvm import relax

    planned = []

    @tvm.instrument.pass_instrument
    class KeepPlanned:
        def run_after_pass(self, module: Any, info: Any) -> None:
            if info.name == "StaticPlanBlockMemory":
                planned.append(module)

    target = tvm.target.Target("llvm")
    with tvm.transform.PassContext(opt_level=3, instruments=[KeepPlanned()]):
        executable = tvm.compile(module, target, relax_pipeline=relax.get_default_pipeline(target))
    return relax.VirtualMachine(executable, tvm.cpu()), *_count(planned[-1])


def _count(planned: Any) -> tuple[int, int]:
    """Kernel calls, and bytes of the storages and output tensors that TVM's planner leaves, in all functions."""
    import tvm
    from tvm import relax

    kernels = nbytes = 0

    def visit(node: Any) -> None:
        nonlocal kernels, nbytes
        if not isinstance(node, relax.Call):
            return
        if isinstance(node.op, tvm.ir.GlobalVar):
            kernels += isinstance(planned[node.op], tvm.tirx.PrimFunc)
        elif getattr(node.op, "name", "") == "relax.memory.alloc_storage":
            nbytes += int(node.args[0].values[0])
        elif getattr(node.op, "name", "") == "relax.builtin.alloc_tensor":
            shape = [int(size) for size in node.args[0].values]
            nbytes += int(np.prod(shape)) * np.dtype(str(node.args[1].value)).itemsize

    for function in planned.functions.values():
        if isinstance(function, relax.Function):
            relax.analysis.post_order_visit(function, visit)
    return kernels, nbytes


def _run(machine: Any, inputs: list[np.ndarray]) -> list[np.ndarray]:
    import tvm

    result = machine["main"](*[tvm.runtime.tensor(value) for value in inputs])
    return [item.numpy() for item in ([result] if hasattr(result, "numpy") else list(result))]


def _distance(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    """Largest absolute difference over the largest absolute value, the worst output counting."""
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        if a.shape != b.shape:
            raise ValueError(f"output shapes {a.shape} and {b.shape} differ")
        difference = np.abs(a.astype(np.float64) - b.astype(np.float64)).max()
        worst = max(worst, float(difference / max(np.abs(b).max(), 1e-30)))
    return worst


def _in_subprocess(name: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.zoo.verify", "--here", name]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = result.stdout.splitlines()
    if result.returncode == 0 and lines:
        row: dict[str, Any] = json.loads(lines[-1])
        return row
    errors = [line for line in result.stderr.splitlines() if line.strip()]
    return {"model": name, "result": errors[-1] if errors else f"exit status {result.returncode}"}


def _row(row: dict[str, Any]) -> str:
    if "error" not in row:
        return f"{row['model']:<20} {'':>47}  {row['result']}{': ' + row['reason'] if 'reason' in row else ''}"
    numbers = f"{row['kernels']:>7} {row['import_seconds']:>8.1f} {row['compile_seconds']:>9.1f}"
    return f"{row['model']:<20} {numbers} {row['plan_nbytes']:>11} {row['error']:>8.1e}  {row['result']}"


if __name__ == "__main__":
    sys.exit(main())

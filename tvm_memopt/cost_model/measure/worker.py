"""Worker process that draws, builds and times candidates: ``python -m tvm_memopt.cost_model.measure.worker``.

It reads requests from stdin and writes replies to stdout, one JSON object per line. TVM is imported without torch,
which it would otherwise import if installed. A crash ends only this process.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    import tvm

    from tvm_memopt.cost_model.measure.worker_pool import Reply, Request

_READY: Reply = {"ready": True}


def main() -> int:
    """Serve requests until stdin ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # output of TVM or a kernel must not corrupt a reply
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]
    from tvm_memopt.cost_model.measure.intrinsics import cpu_intrinsics

    with cpu_intrinsics():
        _send(replies, _READY)
        for line in sys.stdin:
            _send(replies, _answer(json.loads(line)))
    return 0


def _send(replies: TextIO, reply: Reply) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


def _answer(request: Request) -> Reply:
    try:
        return _JOBS[request["job"]](request)
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        return {"error": f"{type(error).__name__}: {lines[-1].strip() if lines else 'no message'}"}


def _module(request: Request) -> tvm.IRModule:
    import tvm

    from tvm_memopt.cost_model.measure.builds import with_packed_weights

    return with_packed_weights(tvm.ir.load_json(Path(request["module"]).read_text(encoding="utf-8")))


def _built(request: Request) -> tuple[tvm.IRModule, tvm.runtime.Module]:
    import tvm

    from tvm_memopt.cost_model.measure.builds import build_packed

    mod = _module(request)
    return mod, build_packed(mod, tvm.ir.load_json(request["target"]))


def _measure(request: Request) -> Reply:
    """Build in memory, run here, and return the CPU seconds of each repeat."""
    from tvm_memopt.cost_model.measure.arguments import timing_arguments
    from tvm_memopt.cost_model.measure.timing import Timing, cpu_seconds

    mod, executable = _built(request)
    arguments = timing_arguments(executable["main"], mod["main"].params)
    return {"seconds": cpu_seconds(executable["main"], arguments, Timing(**request["timing"]))}


def _export(request: Request) -> Reply:
    """Build a shared library, linked for the target's machine."""
    import tvm

    from tvm_memopt.targets.toolchain import linker_for

    _mod, executable = _built(request)
    linker = linker_for(tvm.ir.load_json(request["target"]), request["cc"])
    executable.export_library(request["output"], fcompile=linker)
    return {"output": request["output"]}


def _export_program(request: Request) -> Reply:
    """Build a program that calls the candidate once."""
    import tvm

    from tvm_memopt.export.build import export_kernel

    target = tvm.ir.load_json(request["target"])
    export_kernel(_module(request)["main"], target, request["output"], request["cc"])
    return {"output": request["output"]}


def _count_remote(request: Request) -> Reply:
    """Count the instructions of a program on a device, and return what stands for its time."""
    from tvm_memopt.cost_model.measure.instructions import counted_seconds
    from tvm_memopt.targets.rpc import Device, DeviceError, NoDeviceError

    try:
        return {"seconds": counted_seconds(Device(**request["device"]), request["output"])}
    except DeviceError as error:
        return {"error": str(error), "no_device": isinstance(error, NoDeviceError)}


def _time_remote(request: Request) -> Reply:
    """Time a library on a device, and return the wall-clock seconds of each repeat."""
    from tvm_memopt.cost_model.measure.remote_timing import timed
    from tvm_memopt.cost_model.measure.timing import Timing
    from tvm_memopt.targets.rpc import Device, DeviceError, NoDeviceError

    device, timing = Device(**request["device"]), Timing(**request["timing"])
    try:
        return {"seconds": timed(device, request["output"], request["arguments"], request["device_type"], timing)}
    except DeviceError as error:
        return {"error": str(error), "no_device": isinstance(error, NoDeviceError)}


def _sample(request: Request) -> Reply:
    """Write candidates to the folder ``output``: a database with a line for each, and numbered modules."""
    import tvm
    from tvm.s_tir import meta_schedule as ms

    from tvm_memopt.cost_model.measure.sampling import candidate_hash, sample

    output = Path(request["output"])
    mod = tvm.ir.load_json(Path(request["module"]).read_text(encoding="utf-8"))
    target = tvm.ir.load_json(request["target"])
    best = ms.database.JSONDatabase(work_dir=request["best"]) if request["best"] else ms.database.MemoryDatabase()
    found = sample(mod, target, request["space"], request["count"], request["seed"], best)
    drawn = ms.database.JSONDatabase(work_dir=str(output))
    workload = drawn.commit_workload(mod)
    hashes = []
    for number, candidate in enumerate(found):
        drawn.commit_tuning_record(
            ms.database.TuningRecord(candidate.sch.trace, workload, [1e10], target, candidate.args_info)
        )
        (output / f"{number}.json").write_text(tvm.ir.save_json(candidate.sch.mod), encoding="utf-8")
        hashes.append(str(candidate_hash(candidate.sch.mod)))
    return {"hashes": hashes}


_JOBS = {
    "measure": _measure, "export": _export, "export_program": _export_program, "sample": _sample,
    "time_remote": _time_remote, "count_remote": _count_remote,
}  # fmt: skip

if __name__ == "__main__":
    raise SystemExit(main())

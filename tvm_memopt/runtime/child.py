"""Run a job of this package in a fresh process, for another allocator or for isolation from crashes.

``python -m tvm_memopt.runtime.child FOLDER`` reads FOLDER/request.json and writes FOLDER/result.json.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tvm_memopt
from tvm_memopt.errors import MemoptError
from tvm_memopt.targets.rpc.failures import DeviceError, DeviceLostError, DeviceTimeoutError, NoDeviceError

JOBS = {
    "measure": "tvm_memopt.runtime.measure",
    "poison": "tvm_memopt.runtime.poison",
    "remote": "tvm_memopt.runtime.remote_job",
}
# Exit statuses by the error that ended the child, so that the parent raises the same. The first that fits counts.
_STATUSES: tuple[tuple[type[MemoptError], int], ...] = (
    (NoDeviceError, 11), (DeviceLostError, 12), (DeviceTimeoutError, 13), (DeviceError, 14), (MemoptError, 2),
)  # fmt: skip


def run_in_child(
    job: str, folder: Path, request: Mapping[str, object], environment: Mapping[str, str], timeout: float | None = None
) -> Any:
    """Run the job's ``work(folder, **request)`` in a child process and return its result.

    ``timeout``: seconds after which the child is ended. Raises MemoptError if it fails, crashes or is ended.
    """
    (folder / "request.json").write_text(json.dumps({"job": job, **request}), encoding="utf-8")
    command = [sys.executable, "-m", "tvm_memopt.runtime.child", str(folder)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=_with_package(environment), check=False, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        raise DeviceTimeoutError(f"the {job} run did not end in {timeout:g} s") from None
    if done.returncode:
        kind = next((error for error, status in _STATUSES if status == done.returncode), MemoptError)
        raise kind(_failure(job, done))
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def _with_package(environment: Mapping[str, str]) -> dict[str, str]:
    root = str(Path(tvm_memopt.__file__).parent.parent)
    earlier = environment.get("PYTHONPATH")
    return {**environment, "PYTHONPATH": root + (os.pathsep + earlier if earlier else "")}


def _failure(job: str, done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    if done.returncode < 0:
        return f"the {job} run was ended by {signal.Signals(-done.returncode).name}: the module corrupted its memory"
    return lines[-1] if lines else f"the {job} run failed with exit status {done.returncode}"


def main(folder: Path) -> int:
    """Run the job of a folder. A MemoptError is printed to stderr as one line."""
    os.environ.pop("LD_PRELOAD", None)  # only for this process, not for its children
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]  # tvm_ffi imports it wherever it can, which takes longer than the job
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    try:
        result = importlib.import_module(JOBS[request.pop("job")]).work(folder, **request)
    except MemoptError as error:
        print(error, file=sys.stderr)
        return next(status for kind, status in _STATUSES if isinstance(error, kind))
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))

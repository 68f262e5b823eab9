"""Check, step by step, what the way to a device needs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tvm_memopt.errors import MemoptError
from tvm_memopt.targets.emulator.install import TRIPLE, emulator
from tvm_memopt.targets.rpc import Device
from tvm_memopt.targets.rpc.session import Session
from tvm_memopt.targets.rpc.tracker import registered
from tvm_memopt.targets.toolchain import linker_for


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. ``passed`` None: left out, for the reason in ``text``. ``text`` says how to mend a failure."""

    name: str
    passed: bool | None
    text: str


def examine(device: Device | None, target: Any | None, cc: str | None = None) -> Iterator[Finding]:
    """Check this machine, then ``device`` and a trivial kernel built for ``target`` on it, one after the other.

    ``device`` None: the device's checks are left out. ``target`` None: this machine's.
    """
    yield _checked("TVM here", _tvm_here)
    linker = _checked("linker for the target", lambda: _linker(target, cc))
    yield linker
    yield _emulator()
    if device is None:
        yield Finding("device", None, "none was named: give --rpc, or --tracker and --key")
        return
    if device.tracker is not None:
        tracker = _checked("tracker", lambda: _tracker(device))
        yield tracker
        if not tracker.passed:
            return
    reached = _checked("device", lambda: f"{device.count()} of this name")
    yield reached
    if not reached.passed:
        return
    yield _checked("session", lambda: _session(device))
    if linker.passed:
        yield _checked("a trivial kernel", lambda: _kernel(device, target, cc))
        yield _checked("version of the runtime", lambda: _version(device, target, cc))


def _checked(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check())
    except MemoptError as error:
        return Finding(name, False, str(error))


def _tvm_here() -> str:
    try:
        return ", ".join(f"{name} {version(name)}" for name in ("apache-tvm", "apache-tvm-ffi"))
    except PackageNotFoundError as error:
        raise MemoptError(f"{error.name} is not installed: pip install 'tvm-memopt[tvm]'") from None


def _linker(target: Any | None, cc: str | None) -> str:
    if target is None:
        return "this machine's own"
    linker_for(target, cc)
    return cc or "found"


def _emulator() -> Finding:
    found = emulator()
    if (found.folder / "rpc_server").is_file() and found.qemu.is_file():
        compiler = shutil.which(f"{TRIPLE}-g++")
        return Finding("emulator", True, f"set up in {found.folder}{'' if compiler else '; its compiler is gone'}")
    return Finding("emulator", None, "not set up: `tvm-memopt emulator start --light` does")


def _tracker(device: Device) -> str:
    known = registered(device.address())
    keys = ", ".join(f"{key} ({known.free.get(key, 0)} of {count} free)" for key, count in known.servers.items())
    return f"answers; devices: {keys or 'none'}"


def _session(device: Device) -> str:
    with device.session() as session:
        return f"opens; runtime: {_runtime(session)}"


def _runtime(session: Session) -> str:
    """What the device's runtime can do, by the functions it has."""
    with session.doing("asking for the runtime's functions"):
        parts = {
            "RPC": "tvm.rpc.server.load_module", "CPU": "device_api.cpu",
            "random inputs": "tvm.contrib.random.random_fill_for_measure",
        }  # fmt: skip
        return ", ".join(f"{part} {'yes' if _has(session, name) else 'no'}" for part, name in parts.items())


def _has(session: Session, name: str) -> bool:
    try:
        return session.remote.get_function(name) is not None
    except (RuntimeError, AttributeError, ValueError):
        return False


def _kernel(device: Device, target: Any | None, cc: str | None) -> str:
    import tvm
    from tvm import te

    a = te.placeholder((64,), name="a")
    program = te.create_prim_func([a, te.compute((64,), lambda i: a[i] * 2 + 1, name="b")])
    values = np.arange(64, dtype=np.float32)
    _, found = _run_there(device, program, target or tvm.target.Target("llvm"), cc, [values, np.zeros_like(values)])
    if not np.array_equal(found, values * 2 + 1):
        raise MemoptError("it ran, but its result is wrong: the runtime there does not fit the TVM here")
    return "right"


def _version(device: Device, target: Any | None, cc: str | None) -> str:
    """The version of the runtime's foreign function interface, which its C interface tells a kernel."""
    import tvm
    from tvm import te, tirx

    numbers = te.extern(
        (3,), [], lambda _, outs: tirx.Evaluate(tirx.call_extern("void", "TVMFFIGetVersion", outs[0].access_ptr("w"))),
        dtype="int32", name="numbers",
    )  # fmt: skip
    program, zeros = te.create_prim_func([numbers]), np.zeros(3, np.int32)
    (here,) = _run_here(program, [zeros])
    (there,) = _run_there(device, program, target or tvm.target.Target("llvm"), cc, [zeros])
    versions = [".".join(map(str, numbers)) for numbers in (there, here)]
    if tuple(there[:2]) != tuple(here[:2]):
        raise MemoptError(f"tvm-ffi {versions[0]} there, {versions[1]} here: install one version on both")
    return f"tvm-ffi {versions[0]}" + (", as here" if versions[0] == versions[1] else f", {versions[1]} here")


def _run_here(program: Any, values: list[np.ndarray]) -> list[np.ndarray]:
    import tvm

    arguments = [tvm.runtime.tensor(value) for value in values]
    built = tvm.compile(tvm.IRModule({"main": program.with_attr("global_symbol", "main")}), "llvm")
    built["main"](*arguments)
    return [argument.numpy() for argument in arguments]


def _run_there(device: Device, program: Any, target: Any, cc: str | None, values: list[np.ndarray]) -> list[np.ndarray]:
    """What the arguments hold after a call of ``program`` on the device."""
    import tvm

    built = tvm.compile(tvm.IRModule({"main": program.with_attr("global_symbol", "main")}), target)
    with TemporaryDirectory(prefix="tvm-memopt-") as folder:
        path = Path(folder, "kernel.so")
        built.export_library(str(path), fcompile=linker_for(target, cc))
        with device.session() as session:
            module = session.load(path)
            arguments = session.tensors(values)
            with session.doing("running it"):
                module["main"](*arguments)
                return [argument.numpy() for argument in arguments]

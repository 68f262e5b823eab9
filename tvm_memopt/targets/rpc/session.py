"""One session with a device: uploads finished libraries, each content once, and runs modules there."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tvm_memopt.errors import MemoptError
from tvm_memopt.targets.elf import machine_of
from tvm_memopt.targets.rpc.failures import DeviceError, explained

if TYPE_CHECKING:
    import numpy as np
    import tvm
    import tvm.rpc
    from tvm.runtime.vm import VirtualMachine


RUN_PROGRAM = "memopt.run_program"
"""A function of servers that run programs: (name of an uploaded file, request, seconds) → what the program wrote."""


class Session:
    """An open session. ``place``: how messages name the device."""

    def __init__(self, remote: tvm.rpc.RPCSession, place: str) -> None:
        self.remote, self.place = remote, place
        self._loaded: dict[str, tvm.runtime.Module] = {}
        self._names: dict[str, str] = {}  # by content

    @property
    def cpu(self) -> tvm.runtime.Device:
        """The device's processor."""
        return self.remote.cpu(0)

    def close(self) -> None:
        """End the session at once. Otherwise the last tensor or module of it that is forgotten would end it."""
        self._loaded.clear()
        with suppress(RuntimeError, OSError, AttributeError):  # the connection may have ended before
            self.remote.get_function("CloseRPCConnection")()

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Report errors of TVM in the block as DeviceError, with ``what`` the block was doing."""
        try:
            yield
        except MemoptError:
            raise
        except (RuntimeError, OSError, ValueError, TypeError, AttributeError) as error:
            raise explained(error, self.place, what) from error

    def load(self, path: str | os.PathLike[str]) -> tvm.runtime.Module:
        """Upload a shared library and load it. A library with the same content is uploaded only once.

        The device's name of the file holds a hash of its content, so that an older library of the same name is never
        taken for it. Raises DeviceError if the device has no room, or the library is for another machine.
        """
        name = self._uploaded(path)
        if name not in self._loaded:
            try:
                with self.doing(f"loading {os.fspath(path)}"):
                    self._loaded[name] = self.remote.load_module(name)
            except DeviceError as error:
                raise type(error)(f"{error} ({_about(path)})") from error
        return self._loaded[name]

    def _uploaded(self, path: str | os.PathLike[str]) -> str:
        """Upload a file, unless its content is there, and return the device's name for it."""
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise MemoptError(f"{os.fspath(path)}: cannot be read: {error.strerror}") from None
        digest = hashlib.sha256(content).hexdigest()[:16]
        name = f"{digest}-{re.sub(r'[^A-Za-z0-9_.]', '_', Path(path).stem)[:40]}{Path(path).suffix}"
        if digest not in self._names:
            with self.doing(f"uploading {os.fspath(path)}"):
                self.remote.upload(bytearray(content), name)
            self._names[digest] = name
        return self._names[digest]

    def program(self, path: str | os.PathLike[str], request: bytes, seconds: float) -> bytes:
        """Upload a program, run it on the device with ``request`` on its standard input, and return what it writes.

        Raises DeviceError if the program fails, or if the device's server runs no programs.
        """
        name = self._uploaded(path)
        with self.doing(f"looking for {RUN_PROGRAM}"):
            try:
                run = self.remote.get_function(RUN_PROGRAM)
            except AttributeError:
                raise DeviceError(
                    f"{self.place}: its server runs no programs: `tvm-memopt emulator start --hexagon` "
                    "starts one that does"
                ) from None
        with self.doing(f"running {os.fspath(path)}"):
            return bytes(run(name, bytearray(request), float(seconds)))

    def machine(self, path: str | os.PathLike[str], allocator: Literal["naive", "pooled"] = "pooled") -> VirtualMachine:
        """A virtual machine on the device for a compiled module. Raises DeviceError if it is not one."""
        from tvm.runtime.vm import VirtualMachine

        library = self.load(path)
        with self.doing(f"starting {os.fspath(path)}"):
            return VirtualMachine(library, self.cpu, memory_cfg=allocator)

    def tensors(self, arrays: Sequence[np.ndarray]) -> list[tvm.runtime.Tensor]:
        """Copies of the arrays on the device."""
        import tvm

        with self.doing("sending inputs"):
            return [tvm.runtime.tensor(array, self.cpu) for array in arrays]

    def run(
        self, path: str | os.PathLike[str], inputs: Sequence[np.ndarray], function: str = "main"
    ) -> tuple[np.ndarray, ...]:
        """Run a function of a compiled module once. Nested tuples are flattened in order."""
        machine = self.machine(path)
        tensors = self.tensors(inputs)
        with self.doing(f"running {os.fspath(path)}"):
            machine.set_input(function, *tensors)
            machine.invoke_stateful(function)
            return fetched(machine, function)


def _about(path: str | os.PathLike[str]) -> str:
    """What to look at when a library that has just arrived cannot be loaded."""
    try:
        return f"it is built for {machine_of(path)}: is that the device, and has it room for the file?"
    except MemoptError:
        return "it is not a shared library"


def fetched(machine: VirtualMachine, function: str) -> tuple[np.ndarray, ...]:
    """The outputs of the last stateful call, copied to this machine. Shapes become int64 arrays."""
    import numpy as np

    def array(leaf: Any) -> np.ndarray:
        return np.array(leaf.numpy(), copy=True) if hasattr(leaf, "numpy") else np.asarray(list(leaf), np.int64)

    return tuple(array(leaf) for leaf in output_leaves(machine, function))


def output_leaves(machine: VirtualMachine, function: str) -> list[Any]:
    """The outputs of the last stateful call, which stay on the device, flattened in order."""

    def flat(value: Any) -> Iterator[Any]:
        if isinstance(value, tuple):
            for member in value:
                yield from flat(member)
        else:
            yield value

    return list(flat(machine.get_outputs(function)))

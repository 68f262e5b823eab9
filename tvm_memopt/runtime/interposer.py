"""Build the allocator interposer, preload it into a process, and read its counters from inside that process."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tvm_memopt.atomic import atomic_path
from tvm_memopt.errors import MemoptError
from tvm_memopt.targets.cache import cache_directory

SOURCE = Path(__file__).with_name("interposer.c")
DEVICE_SOURCE = Path(__file__).with_name("device_meter.c")  # includes SOURCE
COMPILE_FLAGS = ("-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread")
CATEGORIES = ("device", "workspace", "foreign", "host", "aligned", "requested")
KINDS = ("allocated", "freed")


@dataclass(frozen=True, slots=True)
class Counter:
    """Bytes of one category: currently allocated, peak, and total allocated, in ``blocks`` blocks."""

    current: int
    peak: int
    total: int
    blocks: int


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the meter's log. ``kind`` is "allocated" or "freed"."""

    kind: str
    category: str
    nbytes: int
    alignment: int
    address: int


class _Counter(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("current", "peak", "total", "blocks"))


class _Event(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("kind", "category", "nbytes", "alignment", "address"))


class Meter:
    """The interposer loaded in this process. Raises MemoptError if it is not loaded."""

    def __init__(self, log_capacity: int = 1 << 20) -> None:
        self._library = ctypes.CDLL(None)
        self._log_capacity = log_capacity
        if not hasattr(self._library, "memopt_meter_start"):
            raise MemoptError("the allocator interposer is not loaded: start the process with preload_environment()")
        self._library.memopt_meter_events.restype = ctypes.c_size_t

    def start(self, *, host_events: bool = False) -> None:
        """Start recording with an empty log. Bytes allocated before stay in ``current``."""
        status = self._library.memopt_meter_start(ctypes.c_size_t(self._log_capacity), int(host_events))
        if status:
            raise MemoptError(f"the allocator interposer cannot start: {os.strerror(status)}; load TVM's runtime first")

    def stop(self) -> None:
        """Stop recording new blocks. Blocks already recorded are tracked until they are freed."""
        self._library.memopt_meter_stop()

    def counters(self) -> Mapping[str, Counter]:
        """The current counters, by category."""
        raw = (_Counter * len(CATEGORIES))()
        self._library.memopt_meter_read(raw)
        return {name: Counter(c.current, c.peak, c.total, c.blocks) for name, c in zip(CATEGORIES, raw, strict=True)}

    def events(self) -> tuple[Event, ...]:
        """The log since start. Raises MemoptError if its capacity was too small."""
        count = self._library.memopt_meter_events(None, ctypes.c_size_t(0))
        if count > self._log_capacity:
            raise MemoptError(f"{count} allocations overran the log of {self._log_capacity} events")
        raw = (_Event * max(count, 1))()
        self._library.memopt_meter_events(raw, ctypes.c_size_t(count))
        return tuple(
            Event(KINDS[e.kind], CATEGORIES[e.category], e.nbytes, e.alignment, e.address) for e in raw[:count]
        )


def preload_environment() -> dict[str, str]:
    """This process's environment with the interposer first in LD_PRELOAD. Builds the interposer if necessary."""
    earlier = os.environ.get("LD_PRELOAD")
    preload = str(build_interposer()) + (f":{earlier}" if earlier else "")
    return {**os.environ, "LD_PRELOAD": preload}


def build_interposer() -> Path:
    """Path of the compiled interposer in the cache. It is compiled again if its source, flags or compiler changed.

    Raises MemoptError if the system cannot preload it or has no C compiler.
    """
    if not sys.platform.startswith("linux"):
        raise MemoptError(f"measuring memory needs Linux (LD_PRELOAD), not {sys.platform}")
    return compile_cached(SOURCE, find_compiler(), COMPILE_FLAGS, os.uname().machine)


def build_device_meter(compiler: list[str], machine: str) -> Path:
    """Path of the meter that an RPC session uploads, compiled for ``machine`` by its C compiler, in the cache."""
    return compile_cached(DEVICE_SOURCE, compiler, (*COMPILE_FLAGS, "-Wl,-z,nodelete", "-Wl,-Bsymbolic"), machine)


def compile_cached(source: Path, compiler: list[str], flags: Sequence[str], machine: str) -> Path:
    """Path of a compiled library in the cache. It is compiled again if its source, flags or compiler changed."""
    texts = [path.read_text(encoding="utf-8") for path in sorted({source, SOURCE})]
    recipe = [*texts, *compiler, *flags, machine]
    library = cache_directory() / f"{source.stem}-{hashlib.sha256(chr(0).join(recipe).encode()).hexdigest()[:16]}.so"
    if not library.exists():
        _compile(source, compiler, flags, library)
    return library


def find_compiler() -> list[str]:
    """The command of the C compiler: $CC, else cc, gcc or clang. Raises MemoptError if there is none."""
    wanted = [shlex.split(os.environ["CC"])] if os.environ.get("CC", "").strip() else [["cc"], ["gcc"], ["clang"]]
    for command in wanted:
        if shutil.which(command[0]):
            return command
    names = ", ".join(command[0] for command in wanted)
    raise MemoptError(f"measuring memory needs a C compiler, and none of {names} was found: install gcc, or set CC")


def _compile(source: Path, compiler: list[str], flags: Sequence[str], library: Path) -> None:
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MemoptError(f"{library.parent}: cannot be created: {error.strerror}; set XDG_CACHE_HOME") from error
    with atomic_path(library) as temporary:
        command = [*compiler, *flags, "-o", str(temporary), str(source), "-ldl"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip())
            raise MemoptError(f"{shlex.join(compiler)} cannot compile the allocator interposer: {reason}")

"""Measure what a compiled module really allocates, with the allocator interposer below TVM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypedDict

import numpy as np

from tvm_memopt.errors import MemoptError
from tvm_memopt.runtime.array_file import load_arrays, save_arrays
from tvm_memopt.runtime.child import run_in_child
from tvm_memopt.runtime.execute import call, leaves, to_tensors
from tvm_memopt.runtime.interposer import Counter, Event, Meter, preload_environment
from tvm_memopt.runtime.loading import Allocator, CompiledModule, entry, load_machine, module_file


@dataclass(frozen=True, slots=True)
class Storage:
    """One block that the virtual machine allocated. ``returned``: it holds a returned tensor."""

    nbytes: int
    returned: bool


@dataclass(frozen=True, slots=True)
class MemoryMeasurement:
    """Bytes allocated by the first call of a module in a fresh process. Inputs and constants exist before it.

    ``arena_nbytes``: the largest storage that is not returned. ``storage_nbytes``: the sum of all storages that are
    not returned. ``storages``: all storages in order. ``workspace_nbytes``: peak of the scratch memory that TVM's pool
    takes from the system and keeps. ``workspace_requested_nbytes``: peak of what kernels request from the pool.
    ``peak_nbytes``: joint peak of storages, returned tensors, scratch and aligned blocks of other libraries.
    ``host_nbytes``: peak of all other heap blocks, which ``peak_nbytes`` leaves out. ``growth_nbytes``: growth during a
    second call after its outputs are released; above 0 is a leak.
    """

    arena_nbytes: int
    storage_nbytes: int
    returned_nbytes: int
    workspace_nbytes: int
    workspace_requested_nbytes: int
    peak_nbytes: int
    host_nbytes: int
    growth_nbytes: int
    storages: tuple[Storage, ...]


class Result(TypedDict):
    """The child's result. An event is a list of the fields of Event, a counter an object with those of Counter."""

    first: dict[str, dict[str, int]]
    events: list[tuple[str, str, int, int, int]]
    returned_addresses: list[int]
    growth_nbytes: int


def measure_memory(
    module: CompiledModule,
    inputs: Sequence[np.ndarray],
    *,
    function: str = "main",
    device: str = "cpu",
    allocator: Allocator = "naive",
) -> MemoryMeasurement:
    """Run the module twice in a separate process and count its bytes, in either mode of the virtual machine.

    The naive allocator gives exact bytes. The pooled allocator, TVM's default, rounds blocks up to 4096 bytes and keeps
    them. Raises MemoptError for a device other than the CPU, without a C compiler, or if the module fails.
    """
    if device != "cpu":
        raise MemoptError(f"memory is measured on the CPU only, not on {device!r}")
    environment = preload_environment()
    with module_file(module) as path, TemporaryDirectory(prefix="tvm-memopt-") as name:
        folder = Path(name)
        save_arrays(folder / "inputs.npz", inputs)
        request = {"module": str(path), "function": function, "allocator": allocator}
        raw: Result = run_in_child("measure", folder, request, environment)
    return summarised(raw)


def summarised(raw: Result) -> MemoryMeasurement:
    """The measurement of a child."""
    first = {name: Counter(**counter) for name, counter in raw["first"].items()}
    events = [Event(*fields) for fields in raw["events"]]
    return summarise(events, first, raw["returned_addresses"], raw["growth_nbytes"])


def summarise(
    events: Sequence[Event], counters: Mapping[str, Counter], returned_addresses: Sequence[int], growth_nbytes: int
) -> MemoryMeasurement:
    """Summarise a log and its counters. A storage counts as returned if it is live at the end and contains one of
    ``returned_addresses``."""
    storages = _storages(events, returned_addresses)
    inner = [storage.nbytes for storage in storages if not storage.returned]
    return MemoryMeasurement(
        arena_nbytes=max(inner, default=0),
        storage_nbytes=sum(inner),
        returned_nbytes=sum(storage.nbytes for storage in storages if storage.returned),
        workspace_nbytes=counters["workspace"].peak,
        workspace_requested_nbytes=counters["requested"].peak,
        peak_nbytes=counters["aligned"].peak,
        host_nbytes=counters["host"].peak,
        growth_nbytes=growth_nbytes,
        storages=storages,
    )


def _storages(events: Sequence[Event], returned_addresses: Sequence[int]) -> tuple[Storage, ...]:
    device = [event for event in events if event.category == "device"]
    held: dict[int, int] = {}
    order: list[Event] = []
    for event in device:
        if event.kind == "allocated":
            held[event.address] = len(order)
            order.append(event)
        else:
            held.pop(event.address, None)
    kept = set(held.values())
    return tuple(
        Storage(e.nbytes, i in kept and any(e.address <= a < e.address + max(e.nbytes, 1) for a in returned_addresses))
        for i, e in enumerate(order)
    )


def work(folder: Path, module: str, function: str, allocator: Allocator) -> Result:
    """The child's part: two calls under the meter. The result is passed as JSON."""
    compiled = entry(load_machine(module, allocator), function)
    tensors = to_tensors(load_arrays(folder / "inputs.npz"))
    meter = Meter()
    meter.start()
    returned = call(compiled, tensors, function)
    meter.stop()
    first, events = meter.counters(), meter.events()
    addresses = [leaf.data_ptr() for leaf in leaves(returned) if hasattr(leaf, "data_ptr")]
    del returned
    before = meter.counters()["aligned"].current
    meter.start()
    call(compiled, tensors, function)
    meter.stop()
    return {
        "first": {name: asdict(counter) for name, counter in first.items()},
        "events": [(e.kind, e.category, e.nbytes, e.alignment, e.address) for e in events],
        "returned_addresses": addresses,
        "growth_nbytes": meter.counters()["aligned"].current - before,
    }

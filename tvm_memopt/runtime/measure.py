"""What a compiled module really allocates, counted below TVM by the allocator interposer."""

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
    """One block that the virtual machine allocated; ``returned`` if a returned tensor lies in it."""

    nbytes: int
    returned: bool


@dataclass(frozen=True, slots=True)
class MemoryMeasurement:
    """Bytes of the first call of a module in a fresh process; inputs and constants exist before it.

    ``arena_nbytes`` is the largest storage that is not returned, ``storage_nbytes`` the sum of all that
    are not; ``storages`` lists every one in order. ``workspace_nbytes`` is the peak of what TVM's scratch
    pool took from the system and keeps, ``workspace_requested_nbytes`` the peak of what kernels asked of
    it. ``peak_nbytes`` is the peak of storages, returned tensors, scratch and aligned blocks of other
    libraries together; ``host_nbytes`` the peak of all other heap blocks, which it leaves out.
    ``growth_nbytes`` is what a second call adds after its outputs are released: above 0 is a leak.
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


class _Result(TypedDict):
    """What the child counted; an event is a list of the fields of Event, a counter an object with those of Counter."""

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
    """Run the module twice in a process of its own and count its bytes; either mode of the machine will do.

    The naive allocator gives exact bytes; the pooled one, TVM's default, rounds blocks up to 4096 and keeps
    them. Raises MemoptError for another device than the CPU, without a C compiler, or if the module fails.
    """
    if device != "cpu":
        raise MemoptError(f"memory is measured on the CPU only, not on {device!r}")
    environment = preload_environment()
    with module_file(module) as path, TemporaryDirectory(prefix="tvm-memopt-") as name:
        folder = Path(name)
        save_arrays(folder / "inputs.npz", inputs)
        request = {"module": str(path), "function": function, "allocator": allocator}
        raw: _Result = run_in_child("measure", folder, request, environment)
    first = {name: Counter(**counter) for name, counter in raw["first"].items()}
    events = [Event(*fields) for fields in raw["events"]]
    return summarise(events, first, raw["returned_addresses"], raw["growth_nbytes"])


def summarise(
    events: Sequence[Event], counters: Mapping[str, Counter], returned_addresses: Sequence[int], growth_nbytes: int
) -> MemoryMeasurement:
    """Read a log and its counters; a storage is returned if it is held at the end around such an address."""
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


def work(folder: Path, module: str, function: str, allocator: Allocator) -> _Result:
    """The child's half: two calls under the meter; what it returns goes through JSON."""
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

"""The child's part of measuring on a device: sessions, the meter there, and the calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from tvm_memopt.errors import MemoptError
from tvm_memopt.runtime.array_file import load_arrays, save_arrays
from tvm_memopt.runtime.interposer import CATEGORIES, KINDS, Counter
from tvm_memopt.targets.rpc.device import Device
from tvm_memopt.targets.rpc.session import Session, fetched, output_leaves

if TYPE_CHECKING:
    from tvm.runtime.vm import VirtualMachine

    from tvm_memopt.runtime.measure import Result

_LOG_CAPACITY = 1 << 18
_EVENT_FIELDS = 5
_ROWS_AT_ONCE = 1 << 12  # the tensor that brings the log back is allocated after the measurement


class Work(TypedDict):
    """What a child measured. ``memory``: by build, the fields of measure.Result. ``seconds``: by build, each round."""

    memory: dict[str, Result]
    seconds: dict[str, list[float]]


def work(
    folder: Path, device: dict[str, Any], modules: dict[str, str], meter: str | None, repeats: int, function: str
) -> Work:
    """Measure each of ``modules`` (path by name): memory in a session of its own, then outputs and time in another.

    Reads NAME.npz with the inputs and writes NAME.out.npz with the outputs. ``repeats`` 0: no times.
    """
    where = Device(**device)
    memory: dict[str, Result] = {}
    inputs = {name: load_arrays(folder / f"{name}.npz") for name in modules}
    if meter is not None:
        for name, path in modules.items():
            with where.session() as session:
                memory[name] = _memory(session, path, meter, inputs[name], function)
    with where.session() as session:
        machines = {}
        for name, path in modules.items():
            machines[name] = _prepared(session, path, inputs[name], function, "pooled")
            with session.doing(f"running {path}"):
                machines[name].invoke_stateful(function)
                save_arrays(folder / f"{name}.out.npz", fetched(machines[name], function))
        seconds = _times(session, machines, repeats, function)
    return {"memory": memory, "seconds": seconds}


def _prepared(
    session: Session, path: str, inputs: Sequence[np.ndarray], function: str, allocator: Any
) -> VirtualMachine:
    machine = session.machine(path, allocator)
    tensors = session.tensors(inputs)
    with session.doing(f"passing inputs to {path}"):
        machine.set_input(function, *tensors)
    return machine


def _times(
    session: Session, machines: dict[str, VirtualMachine], repeats: int, function: str
) -> dict[str, list[float]]:
    """Wall-clock seconds on the device of each round, in alternating order. The outputs stay there."""
    found: dict[str, list[float]] = {name: [] for name in machines}
    with session.doing("timing"):
        timers = {
            name: machine.module.time_evaluator("invoke_stateful", session.cpu, number=1, repeat=1)
            for name, machine in machines.items()
        }
        for turn in range(repeats):
            for name in list(timers) if turn % 2 == 0 else list(timers)[::-1]:
                found[name].append(float(timers[name](function).mean))
    return found


def _memory(session: Session, path: str, meter: str, inputs: Sequence[np.ndarray], function: str) -> Result:
    """Two calls under the meter, as measure.work does on this machine."""
    machine = _prepared(session, path, inputs, function, "naive")
    library = session.load(meter)
    with session.doing("measuring memory"):
        _start(library, session)
        machine.invoke_stateful(function)
        library["memopt_meter_end"]()
        first, events = _counters(library), _events(library, session)
        addresses = [
            int(library["memopt_meter_address"](leaf))
            for leaf in output_leaves(machine, function)
            if hasattr(leaf, "numpy")
        ]
        before = first["aligned"].current
        _start(library, session)
        machine.invoke_stateful(function)  # releases the outputs of the first call
        library["memopt_meter_end"]()
        growth = _counters(library)["aligned"].current - before
    return {
        "first": {name: asdict(counter) for name, counter in first.items()},
        "events": events,
        "returned_addresses": addresses,
        "growth_nbytes": growth,
    }


def _start(library: Any, session: Session) -> None:
    status = int(library["memopt_meter_begin"](_LOG_CAPACITY))
    if status:
        raise MemoptError(
            f"{session.place}: memory cannot be measured there: libtvm_runtime.so is not loaded as a shared library "
            f"(error {status})"
        )


def _counters(library: Any) -> dict[str, Counter]:
    read = library["memopt_meter_counter"]
    return {name: Counter(*(int(read(i, field)) for field in range(4))) for i, name in enumerate(CATEGORIES)}


def _events(library: Any, session: Session) -> list[tuple[str, str, int, int, int]]:
    import tvm

    rows = np.zeros((_ROWS_AT_ONCE, _EVENT_FIELDS), np.int64)
    tensor = tvm.runtime.tensor(rows, session.cpu)
    count = int(library["memopt_meter_log"](tensor))
    if count > _ROWS_AT_ONCE:
        if count > _LOG_CAPACITY:
            raise MemoptError(f"{count} allocations overran the log of {_LOG_CAPACITY} events")
        tensor = tvm.runtime.tensor(np.zeros((count, _EVENT_FIELDS), np.int64), session.cpu)
        library["memopt_meter_log"](tensor)
    found = tensor.numpy()[:count].tolist()
    return [(KINDS[kind], CATEGORIES[category], *rest) for kind, category, *rest in found]

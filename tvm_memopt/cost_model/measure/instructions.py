"""Instructions that a program executes on a device behind RPC, where a time would be the emulator's."""

from __future__ import annotations

from tvm_memopt.cost_model.measure.arguments import timing_arrays
from tvm_memopt.export.document import read_document, values
from tvm_memopt.export.outcome import Outcome, outcome, request
from tvm_memopt.targets.rpc import Device, DeviceError, DeviceLostError

SECONDS_PER_INSTRUCTION = 1e-9
"""What stands for the time of one instruction, of whatever kind, where a time is asked for."""
_SHARE = 0.9  # of the session's time: the program must end before its session does


def counted_seconds(device: Device, program: str) -> list[float]:
    """One number that stands for the time of a program with one kernel: its instructions, a nanosecond each.

    The same program executes the same instructions in each run, so that it runs once. Raises NoDeviceError if no device
    is left, and another DeviceError if the program cannot be run.
    """
    described = values(read_document(program)["inputs"])
    arrays = list(timing_arrays([(value.dtype, value.shape) for value in described]))
    try:
        found = run_on(device, program, request(arrays, described))
    except DeviceLostError as error:
        device.wait()  # if none comes back, the device is to blame
        raise DeviceError(str(error)) from error
    if not found.instructions:
        raise DeviceError(f"{device}: does not count instructions")
    return [found.instructions * SECONDS_PER_INSTRUCTION]


def run_on(device: Device, program: str, asked: bytes) -> Outcome:
    """Run a program once on a device. Work that loses the device is tried again."""

    def work() -> bytes:
        with device.session() as session:
            return session.program(program, asked, _SHARE * device.timeout)

    return outcome(device.retried(work), read_document(program))

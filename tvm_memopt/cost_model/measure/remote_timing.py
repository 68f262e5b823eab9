"""Time one library on a device: the worker's part of cost_model.measure.remote."""

from __future__ import annotations

import faulthandler
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tvm_memopt.cost_model.measure.arguments import remote_arguments
from tvm_memopt.cost_model.measure.timing import Timing, repeats_and_calls
from tvm_memopt.targets.rpc import Device, DeviceError, DeviceLostError

_SPARE_SECONDS = 20.0


def timed(
    device: Device, library: str, kinds: Sequence[tuple[str, Sequence[int]]], device_type: str, timing: Timing
) -> list[float]:
    """Seconds of one call of ``main``, for each repeat. ``kinds``: type and shape of each argument.

    Raises NoDeviceError if no device is left, and another DeviceError if this library cannot be timed.
    """

    def work() -> list[float]:
        with device.session() as session, _ended_if_hung(device.timeout + _SPARE_SECONDS):
            module = session.load(library)
            with session.doing("timing"):
                where = session.remote.device(device_type, 0)
                described = [("TENSOR", dtype, shape) for dtype, shape in kinds]
                (arguments,) = remote_arguments(session.remote, where, described, 1)
                once = float(module.time_evaluator("main", where, number=1, repeat=1)(*arguments).mean)
                repeats, calls = repeats_and_calls(once, timing)
                timer = module.time_evaluator("main", where, number=calls, repeat=repeats)
                return [float(seconds) for seconds in timer(*arguments).results]

    try:
        return device.retried(work)
    except DeviceLostError as error:
        device.wait()  # if none comes back, the device is to blame
        raise DeviceError(str(error)) from error


@contextmanager
def _ended_if_hung(seconds: float) -> Iterator[None]:
    """End this process after that time: a device without power does not even close the connection."""
    faulthandler.dump_traceback_later(seconds, exit=True)  # works while TVM waits with the interpreter's lock
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()

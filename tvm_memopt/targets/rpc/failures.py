"""What can go wrong with a device, by what the caller should do next."""

from __future__ import annotations

from tvm_memopt.errors import MemoptError


class DeviceError(MemoptError):
    """Base class of errors of devices. This class itself: the device answered, and refused."""


class NoDeviceError(DeviceError):
    """No device can be had: the tracker or the device does not answer, or none is registered."""


class DeviceLostError(DeviceError):
    """The connection ended in the middle: the device went away, or the code crashed its server. May be retried."""


class DeviceTimeoutError(DeviceError):
    """The code ran longer than the session may. A retry would take as long."""


# Parts of TVM's messages, in lower case, that mean the connection itself has failed.
_LOST = (
    "connection reset", "connection refused", "broken pipe", "connect to", "endpointsocket", "socket", "shutdown",
    "kshutdown", "timed out", "network is unreachable", "no route to host", "channel closes", "closed by",
)  # fmt: skip


def explained(error: BaseException, place: str, doing: str) -> DeviceError:
    """The error of this package for an error that TVM raised on ``place`` while ``doing`` something."""
    text = str(error).strip()
    lowered = text.lower()
    if "rpcsessiontimeouterror" in lowered:
        return DeviceTimeoutError(f"{place}: {doing} timed out: the session's limit was reached (raise the timeout)")
    if "cannot find server that matches key" in lowered:
        return NoDeviceError(
            f"{place}: refuses this key: a server that is registered with a tracker is reached through the tracker"
        )
    if any(part in lowered for part in _LOST):
        return DeviceLostError(f"{place}: the connection ended while {doing}: {_last_line(text)}")
    return DeviceError(f"{place}: {doing} failed: {_last_line(text)}{_advice(lowered)}")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"


def _advice(lowered: str) -> str:
    if "no space left" in lowered or "disk quota" in lowered:
        return "; free space on the device, or set TMPDIR of its server"
    if "wrong elf class" in lowered or "exec format" in lowered or "invalid elf header" in lowered:
        return "; the module was compiled for another architecture: give --target of this device"
    return ""

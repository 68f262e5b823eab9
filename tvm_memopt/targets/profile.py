"""Device profiles: performance figures for cost estimates when the device is unavailable."""

from __future__ import annotations

from dataclasses import dataclass

from tvm_memopt.errors import MemoptError


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """Rates of one core that runs compiled but untuned loops, for the roofline model of kernel costs.

    ``flops_per_second`` and ``bytes_per_second``: sustained rates. ``call_seconds``: fixed cost of one kernel call.
    """

    name: str
    flops_per_second: float
    bytes_per_second: float
    call_seconds: float

    def seconds(self, flops: float, nbytes: int) -> float:
        """Roofline estimate of one call: max(FLOPs / FLOP rate, bytes / byte rate) + seconds of a call.

        The roofline model of Williams, Waterman and Patterson, CACM 52(4), 2009.
        """
        return max(flops / self.flops_per_second, nbytes / self.bytes_per_second) + self.call_seconds


# Orders of magnitude for untuned scalar loops on one core. A plan depends only on the ratios between kernels.
# If the device is available, measured costs replace these.
PROFILES: dict[str, DeviceProfile] = {
    profile.name: profile
    for profile in (
        DeviceProfile("host", 2e9, 1e10, 1e-6),
        DeviceProfile("cortex-a", 1e9, 3e9, 2e-6),
        DeviceProfile("cortex-m", 1e8, 2e8, 5e-6),
        DeviceProfile("hexagon", 2e9, 5e9, 5e-6),
    )
}


def find_profile(name: str) -> DeviceProfile:
    """The profile with this name. For an unknown name, raises MemoptError that lists the known ones."""
    try:
        return PROFILES[name]
    except KeyError:
        raise MemoptError(f"device profile {name!r} is unknown, expected one of {', '.join(PROFILES)}") from None


def profile_for_triple(triple: str) -> DeviceProfile:
    """The profile that best fits an LLVM target triple."""
    if triple.startswith("hexagon"):
        return PROFILES["hexagon"]
    if triple.startswith("thumb") or "-none-eabi" in triple:
        return PROFILES["cortex-m"]
    if triple.startswith(("aarch64", "arm")):
        return PROFILES["cortex-a"]
    return PROFILES["host"]

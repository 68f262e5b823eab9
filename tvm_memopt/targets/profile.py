"""Device profiles: what a planner needs to know of a device that is not at hand."""

from __future__ import annotations

from dataclasses import dataclass

from tvm_memopt.errors import MemoptError


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """Rates of one core running compiled but untuned loops, for the roofline of kernel costs.

    ``flops_per_second`` and ``bytes_per_second`` are sustained rates; ``call_seconds`` is the fixed
    price of one kernel call.
    """

    name: str
    flops_per_second: float
    bytes_per_second: float
    call_seconds: float


# Orders of magnitude for untuned scalar loops on one core. The ratios between kernels are what a plan
# depends on; where a device is at hand, measured costs replace these.
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
    """The profile of that name. Raises MemoptError that lists those there are."""
    try:
        return PROFILES[name]
    except KeyError:
        raise MemoptError(f"device profile {name!r} is unknown, expected one of {', '.join(PROFILES)}") from None


def profile_for_triple(triple: str) -> DeviceProfile:
    """The profile that fits an LLVM target triple best."""
    if triple.startswith("hexagon"):
        return PROFILES["hexagon"]
    if triple.startswith("thumb") or "-none-eabi" in triple:
        return PROFILES["cortex-m"]
    if triple.startswith(("aarch64", "arm")):
        return PROFILES["cortex-a"]
    return PROFILES["host"]

"""Device profiles: what a plan, a compiler and a cost estimate need to know of a device that is not here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tvm_memopt.targets.fit import Fit


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates of one core that runs compiled but untuned loops, for the roofline model of kernel costs.

    ``flops_per_second`` and ``bytes_per_second``: sustained rates. ``call_seconds``: fixed cost of one kernel call.
    They are orders of magnitude: a plan depends only on the ratios between kernels, and measured costs replace them
    if the device is available.
    """

    flops_per_second: float
    bytes_per_second: float
    call_seconds: float

    def seconds(self, flops: float, nbytes: int) -> float:
        """Roofline estimate of one call: max(FLOPs / FLOP rate, bytes / byte rate) + seconds of a call.

        The roofline model of Williams, Waterman and Patterson, CACM 52(4), 2009.
        """
        return max(flops / self.flops_per_second, nbytes / self.bytes_per_second) + self.call_seconds


@dataclass(frozen=True, slots=True)
class Memory:
    """One memory of a device. ``software_managed``: a program places data there itself, as in a scratch memory."""

    name: str
    nbytes: int
    alignment: int
    bytes_per_second: float
    software_managed: bool = False


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Peak arithmetic of one core. Nothing is planned by it."""

    clock_hz: float
    flops_per_cycle: float
    int8_ops_per_cycle: float


@dataclass(frozen=True, slots=True)
class Compiler:
    """A compiler to look for. ``package``: the Debian package that has it, or where else it is found."""

    command: str
    package: str


@dataclass(frozen=True)
class DeviceProfile:
    """A device by name.

    ``target``: the TVM target as a dictionary; without ``mtriple`` it is this machine. ``ram_nbytes``: for the arena,
    inputs and outputs. ``flash_nbytes``: for the weights; None where they are loaded into RAM. ``rates``: for cost
    estimates. ``compilers``: those that link for the device, the best first. ``sources``: where the figures come from.
    """

    name: str
    description: str
    target: Mapping[str, Any]
    ram_nbytes: int
    cores: int
    rates: Rates
    flash_nbytes: int | None = None
    memories: tuple[Memory, ...] = ()
    arithmetic: Arithmetic | None = None
    compilers: tuple[Compiler, ...] = ()
    sources: tuple[str, ...] = ()
    aliases: tuple[str, ...] = field(default=())

    @property
    def triple(self) -> str:
        """The LLVM triple, empty for this machine."""
        return str(self.target.get("mtriple", ""))

    def arena_limit(self, io_nbytes: int, weight_nbytes: int) -> int:
        """Bytes of RAM that are left for the arena. Not positive if there are none.

        ``io_nbytes``: of inputs and outputs. ``weight_nbytes``: counted only where the device has no flash.
        """
        return self.ram_nbytes - io_nbytes - (weight_nbytes if self.flash_nbytes is None else 0)

    def fit(self, arena_nbytes: int, io_nbytes: int, weight_nbytes: int) -> Fit:
        """Whether a program with these sizes fits into the device's memory."""
        return Fit(self.name, self.ram_nbytes, self.flash_nbytes, arena_nbytes, io_nbytes, weight_nbytes)

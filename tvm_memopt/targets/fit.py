"""Whether the memory of a program fits into that of a device, and by how many bytes it does not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fit:
    """The memory of one program on one device. The stack and the program's code are not counted.

    ``io_nbytes``: inputs and outputs, and other tensors outside the arena. ``flash_nbytes``: None for a device that
    loads the weights into RAM.
    """

    device: str
    ram_nbytes: int
    flash_nbytes: int | None
    arena_nbytes: int
    io_nbytes: int
    weight_nbytes: int

    @property
    def needed_nbytes(self) -> int:
        """Bytes of RAM that the program needs."""
        loaded = self.weight_nbytes if self.flash_nbytes is None else 0
        return self.arena_nbytes + self.io_nbytes + loaded

    @property
    def excess_nbytes(self) -> int:
        """Bytes of RAM that are missing; 0 if it fits."""
        return max(0, self.needed_nbytes - self.ram_nbytes)

    @property
    def flash_excess_nbytes(self) -> int:
        """Bytes of flash that are missing; 0 if the weights fit or are not in flash."""
        return 0 if self.flash_nbytes is None else max(0, self.weight_nbytes - self.flash_nbytes)

    @property
    def fits(self) -> bool:
        """Whether RAM and flash suffice."""
        return not self.excess_nbytes and not self.flash_excess_nbytes

    @property
    def verdict(self) -> str:
        """``fits NAME`` or ``does not fit NAME, by N bytes of RAM``."""
        missing = ((self.excess_nbytes, "RAM"), (self.flash_excess_nbytes, "flash"))
        short = " and ".join(f"{nbytes:,} bytes of {memory}" for nbytes, memory in missing if nbytes)
        return f"does not fit {self.device}, by {short}" if short else f"fits {self.device}"

    @property
    def text(self) -> str:
        """The verdict and the figures behind it, as one line."""
        return f"{self.verdict}: {self._uses()}"

    def _uses(self) -> str:
        parts = [f"arena {self.arena_nbytes:,}", f"inputs and outputs {self.io_nbytes:,}"]
        weights = f"weights {self.weight_nbytes:,}"
        if self.flash_nbytes is None:
            return f"{self.needed_nbytes:,} of {self.ram_nbytes:,} bytes of RAM ({', '.join([*parts, weights])})"
        ram = f"{self.needed_nbytes:,} of {self.ram_nbytes:,} bytes of RAM ({', '.join(parts)})"
        return f"{ram}, {weights} of {self.flash_nbytes:,} bytes of flash"

    def document(self) -> dict[str, object]:
        """The figures for JSON output."""
        return {
            "name": self.device,
            "fits": self.fits,
            "text": self.text,
            "ram_nbytes": self.ram_nbytes,
            "needed_nbytes": self.needed_nbytes,
            "excess_nbytes": self.excess_nbytes,
            "io_nbytes": self.io_nbytes,
            "weight_nbytes": self.weight_nbytes,
            "flash_nbytes": self.flash_nbytes,
            "flash_excess_nbytes": self.flash_excess_nbytes,
        }

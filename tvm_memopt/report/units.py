"""Human-readable bytes, shares, times and axis ticks."""

from __future__ import annotations

import math

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def byte_unit(nbytes: int) -> tuple[int, str]:
    """(divisor, name) of the largest binary unit that is at most ``nbytes``."""
    power = min(max(nbytes.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    return 1024**power, _UNITS[power]


def short_bytes(nbytes: int) -> str:
    """``nbytes`` in a suitable unit, with three significant digits or as a whole number: ``"176 KiB"``."""
    divisor, unit = byte_unit(abs(nbytes))
    return f"{_digits(nbytes / divisor)} {unit}"


def exact_bytes(nbytes: int) -> str:
    """The exact number of bytes, followed by the same in KiB: ``"180224 B (176 KiB)"``."""
    return f"{nbytes} B ({nbytes / 1024:.{1 if nbytes % 1024 else 0}f} KiB)"


def percent(share: float) -> str:
    """Format ``0.3125`` as ``"31.2%"``, with a true minus sign for negative values."""
    return f"{share * 100:.1f}%".replace("-", "−").replace("−0.0%", "0.0%")


def change(before: float, after: float) -> str:
    """Signed change from ``before`` to ``after``; empty if they are equal or ``before`` is 0."""
    if not before or before == after:
        return ""
    text = percent(after / before - 1)
    return text if text.startswith("−") else f"+{text}"


def seconds_text(seconds: float) -> str:
    """``seconds`` in a suitable unit, with three significant digits."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if abs(seconds) * factor >= 1 or unit == "µs":
            break
    return f"{_digits(seconds * factor)} {unit}"


def byte_ticks(limit: int, count: int = 6) -> list[tuple[int, str]]:
    """At most ``count`` + 1 round values from 0 to ``limit`` bytes, each with its label, all in one unit."""
    if limit <= 0:
        return [(0, "0")]
    divisor, unit = byte_unit(limit)
    step = _round_step(limit / divisor / count)
    if divisor == 1:
        step = max(step, 1)
    values = [index * step for index in range(int(limit / divisor / step + 1e-9) + 1)]
    return [(round(value * divisor), f"{_plain(value)} {unit}" if value else "0") for value in values]


def step_ticks(first: int, last: int, count: int = 10) -> list[int]:
    """Round step numbers between ``first`` and ``last`` inclusive."""
    step = max(1, math.ceil(_round_step(max(last - first, 1) / count)))
    return list(range(-(-first // step) * step, last + 1, step))


def clip_text(text: str, width: int) -> str:
    """``text``, shortened to its head and tail around an ellipsis if it is longer than ``width``."""
    if len(text) <= width:
        return text
    tail = max(0, (width - 1) // 3)
    return text[: width - 1 - tail] + "…" + (text[-tail:] if tail else "")


def printable(text: str) -> str:
    """``text`` with characters that no file format can carry (control characters, lone surrogates) replaced."""
    return "".join(c if c.isprintable() else "�" for c in text)


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next((m * power for m in (1, 2, 5) if m * power >= least * (1 - 1e-9)), 10 * power)


def _digits(value: float) -> str:
    magnitude = abs(value)
    return f"{value:.0f}" if magnitude >= 100 or value == int(value) else f"{value:.{1 if magnitude >= 10 else 2}f}"


def _plain(value: float) -> str:
    return f"{value:.10g}"

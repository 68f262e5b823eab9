"""Sizes in bytes given as text: ``196608``, ``"192KiB"``, ``"0.5MiB"``."""

from __future__ import annotations

import re
from fractions import Fraction

_UNITS = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_BYTES = re.compile(r"\s*([0-9]{1,20}(?:\.[0-9]{1,20})?)\s*([A-Za-z]*)\s*")


def parse_bytes(text: str) -> Fraction | None:
    """The number of bytes, which may be a fraction for a text such as ``0.3KiB``. None if ``text`` is no size."""
    match = _BYTES.fullmatch(text)
    if match is None or match[2] not in _UNITS:
        return None
    return Fraction(match[1]) * _UNITS[match[2]]

"""The early part of a division in sections: what a section hands on is not made again, so no chain of repeats is long.

Without sections, the cheapest way to free bytes at the dividing step can be to make everything again from the inputs,
and then to hold all of it. These are the segments of checkpointing (Chen et al., 2016), at the narrowest steps.
"""

from __future__ import annotations

import numpy as np

from tvm_memopt.solvers.remat.division import Division


def section_starts(division: Division, sections: int) -> list[int]:
    """Where sections begin, but for the first: near equal parts of the wanted bytes, where few are handed on."""
    step = division.step
    change = np.zeros(step + 1)
    np.add.at(change, division.made_at + 1, division.nbytes)
    np.add.at(change, np.minimum(division.last_early, step - 1) + 1, -division.nbytes)
    width = np.cumsum(change)
    made = np.bincount(division.made_at, division.nbytes * division.wanted, minlength=step)
    share = np.cumsum(made) / max(1.0, made.sum())
    starts = set()
    for number in range(1, sections):
        low = int(np.searchsorted(share, (number - 0.5) / sections))
        high = max(low + 1, int(np.searchsorted(share, (number + 0.5) / sections)))
        if low + 1 < step:
            starts.add(low + 1 + int(np.argmin(width[low + 1 : min(high + 1, step)])))
    return sorted(starts)


def handed_on(division: Division, starts: list[int]) -> np.ndarray:
    """Per early op: whether the next section, and none after that, reads what it writes."""
    section = np.searchsorted(np.array(starts, np.int64), np.arange(division.step), side="right")
    last = section[np.minimum(division.last_early, division.step - 1)]
    crossing = division.made_at[last == section[division.made_at] + 1]
    found = np.zeros(division.step, bool)
    found[crossing] = True
    return found

"""The early part of a division, split into sections. What a section hands on is not recomputed.

Chains of repeats therefore stay short. Without sections, the cheapest way to free bytes at the dividing step can be to
recompute everything from the inputs, and then to hold all of it. Sections are the segments of checkpointing (Chen et
al., 2016), cut at the narrowest steps.
"""

from __future__ import annotations

import numpy as np

from tvm_memopt.solvers.remat.cuts.division import Division


def section_starts(division: Division, sections: int) -> list[int]:
    """Starts of all sections but the first: near equal parts of the needed bytes, where few bytes are handed on."""
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
    """For each early op: whether only the next section, and none after it, reads its outputs."""
    section = np.searchsorted(np.array(starts, np.int64), np.arange(division.step), side="right")
    last = section[np.minimum(division.last_early, division.step - 1)]
    crossing = division.made_at[last == section[division.made_at] + 1]
    found = np.zeros(division.step, bool)
    found[crossing] = True
    return found

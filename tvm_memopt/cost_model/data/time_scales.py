"""Merge several collections: times of later folders are rescaled to the machine of the first.

Times on machines of one target differ mainly by a constant factor. It is estimated from the ratio of times of
candidates that were also measured in an earlier folder; such a candidate is used once, with the earlier time. To add a
machine, it is therefore enough to collect a few programs of the first folder again with the same seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from tvm_memopt.cost_model.data.manifest import read_manifest, shard_paths
from tvm_memopt.cost_model.data.shards import Times, read_times
from tvm_memopt.errors import MemoptError

_Key: TypeAlias = tuple[str, int]  # program, hash of the candidate


@dataclass(frozen=True)
class Part:
    """One shard of a merged collection.

    ``times``: of the shard at ``path``. ``kept``: indices of its candidates that no earlier folder has. ``scale``:
    factor for its seconds.
    """

    path: Path
    times: Times
    kept: np.ndarray
    scale: float


@dataclass(frozen=True)
class Scale:
    """``factor``: scale factor for the seconds of ``folder``, estimated from ``shared`` candidates."""

    folder: Path
    factor: float
    shared: int


def program_key(times: Times) -> str:
    """A key that identifies a program across folders: its structural hash, or its name if it has none."""
    return str(times.program.get("workload") or times.program["name"])


def read_parts(folders: Sequence[Path]) -> tuple[list[Part], list[Scale], str]:
    """The programs of all folders that add candidates, the scales of the folders, and their common target.

    Raises MemoptError if a folder is empty, damaged, or was collected for another target than the first.
    """
    target = read_manifest(folders[0]).target
    parts: list[Part] = []
    scales: list[Scale] = []
    known: dict[_Key, float] = {}
    for folder in folders:
        if read_manifest(folder).target != target:
            raise MemoptError(f"{folder}: was collected for another target than {folders[0]}: train on one target")
        shards = [(path, times, _pairs(times)) for path, times in ((p, read_times(p)) for p in shard_paths(folder))]
        scales.append(_scale(folder, [pair for _, _, pairs in shards for pair in pairs], known))
        factor = scales[-1].factor
        for path, times, pairs in shards:
            fresh = np.array([i for i, (key, _) in enumerate(pairs) if key not in known], np.int64)
            known |= {pairs[i][0]: factor * pairs[i][1] for i in fresh}
            if len(fresh):
                parts.append(Part(path, times, fresh, factor))
    return parts, scales, target


def measured_again(folders: Sequence[Path]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Candidates of later folders that are also in the first: seconds there, rescaled seconds here, and program."""
    first = dict(_all_pairs(folders[0]))
    ours, theirs, programs = [], [], []
    for folder in folders[1:]:
        pairs = _all_pairs(folder)
        factor = _scale(folder, pairs, first).factor
        for key, seconds in (pair for pair in pairs if pair[0] in first):
            ours.append(first[key])
            theirs.append(seconds * factor)
            programs.append(key[0])
    return np.array(ours), np.array(theirs), programs


def _all_pairs(folder: Path) -> list[tuple[_Key, float]]:
    return [pair for path in shard_paths(folder) for pair in _pairs(read_times(path))]


def _pairs(times: Times) -> list[tuple[_Key, float]]:
    program = program_key(times)
    return [
        ((program, int(number)), float(seconds)) for number, seconds in zip(times.hashes, times.median, strict=True)
    ]


def _scale(folder: Path, pairs: Sequence[tuple[_Key, float]], known: Mapping[_Key, float]) -> Scale:
    """Median of (known time / time in this folder) over shared candidates. 1 if there are none."""
    ratios = [known[key] / seconds for key, seconds in pairs if key in known]
    return Scale(folder, float(np.median(ratios)) if ratios else 1.0, len(ratios))

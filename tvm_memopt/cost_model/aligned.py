"""Several collections as one: times of the later folders brought to the scale of the first one's machine.

Machines of one target differ by a factor, first of all. Where a candidate was measured in an earlier folder too, the
ratio of both times tells it; such a candidate is used once, as the earlier folder has it. So collecting a few programs
of the first folder again, with the same seed, is all that a further machine needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from tvm_memopt.cost_model.manifest import read_manifest, read_shards
from tvm_memopt.cost_model.shards import NAME, Shard
from tvm_memopt.errors import MemoptError

_Key: TypeAlias = tuple[str, int]  # name of the program, hash of the candidate


@dataclass(frozen=True)
class Part:
    """``shard``: of the program at ``path``; ``kept``: numbers of its candidates that no earlier folder has;
    ``scale``: what its seconds are multiplied by."""

    path: Path
    shard: Shard
    kept: np.ndarray
    scale: float


def read_parts(folders: Sequence[Path]) -> tuple[list[Part], str]:
    """Programs of all folders that have candidates of their own, and the target of all.

    Raises MemoptError where a folder holds none, is damaged, or was collected for another target than the first.
    """
    target = read_manifest(folders[0]).target
    parts: list[Part] = []
    known: dict[_Key, float] = {}
    for folder in folders:
        if read_manifest(folder).target != target:
            raise MemoptError(f"{folder}: was collected for another target than {folders[0]}: train on one target")
        shards = list(read_shards(folder))
        scale = _scale(shards, known)
        for shard in shards:
            keys = _keys(shard)
            fresh = np.flatnonzero([key not in known for key in keys])
            known |= {keys[i]: scale * seconds for i, seconds in zip(fresh, shard.median[fresh], strict=True)}
            if len(fresh):
                parts.append(Part(folder / str(shard.program["name"]) / NAME, shard, fresh, scale))
    return parts, target


def measured_again(folders: Sequence[Path]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Candidates of later folders that the first has too: its seconds, theirs brought to its scale, their programs."""
    first = {key: seconds for shard in read_shards(folders[0]) for key, seconds in _times(shard)}
    ours, theirs, programs = [], [], []
    for folder in folders[1:]:
        shards = list(read_shards(folder))
        scale = _scale(shards, first)
        for key, seconds in (pair for shard in shards for pair in _times(shard) if pair[0] in first):
            ours.append(first[key])
            theirs.append(seconds * scale)
            programs.append(key[0])
    return np.array(ours), np.array(theirs), programs


def _times(shard: Shard) -> list[tuple[_Key, float]]:
    return list(zip(_keys(shard), map(float, shard.median), strict=True))


def _keys(shard: Shard) -> list[_Key]:
    return [(str(shard.program["name"]), int(number)) for number in shard.hashes]


def _scale(shards: Sequence[Shard], known: Mapping[_Key, float]) -> float:
    """Median of known time / time here over the candidates of both; 1 where there are none."""
    ratios = [known[key] / seconds for shard in shards for key, seconds in _times(shard) if key in known]
    return float(np.median(ratios)) if ratios else 1.0

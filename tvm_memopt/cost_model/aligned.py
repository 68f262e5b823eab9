"""Several collections as one: times of the later folders brought to the scale of the first one's machine.

Machines of one target differ by a factor, first of all. Where a candidate was measured in an earlier folder too, the
ratio of both times tells it; such a candidate is used once, as the earlier folder has it. So collecting a few programs
of the first folder again, with the same seed, is all that a further machine needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tvm_memopt.cost_model.manifest import read_manifest, read_shards
from tvm_memopt.cost_model.shards import NAME, Shard
from tvm_memopt.errors import MemoptError


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
    known: dict[tuple[str, int], float] = {}
    for folder in folders:
        if read_manifest(folder).target != target:
            raise MemoptError(f"{folder}: was collected for another target than {folders[0]}: train on one target")
        shards = list(read_shards(folder))
        scale = _scale(shards, known)
        for shard in shards:
            fresh = np.array([key not in known for key in _keys(shard)])
            known |= dict(zip(_keys(shard), scale * shard.median, strict=True)) | {
                key: known[key] for key in _keys(shard) if key in known
            }
            if fresh.any():
                path = folder / str(shard.program["name"]) / NAME
                parts.append(Part(path, shard, np.flatnonzero(fresh), scale))
    return parts, target


def _keys(shard: Shard) -> list[tuple[str, int]]:
    return [(str(shard.program["name"]), int(number)) for number in shard.hashes]


def _scale(shards: Sequence[Shard], known: dict[tuple[str, int], float]) -> float:
    """Median of known time / time here over the candidates of both; 1 where there are none."""
    ratios = [
        known[key] / seconds
        for shard in shards
        for key, seconds in zip(_keys(shard), shard.median, strict=True)
        if key in known
    ]
    return float(np.median(ratios)) if ratios else 1.0

"""Measured candidates of many programs as one batch of graphs, split into training and held-out programs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tvm_memopt.cost_model.data.shards import read_shard
from tvm_memopt.cost_model.data.time_scales import Scale, program_key, read_parts
from tvm_memopt.cost_model.features.extract import Graphs, compress, join
from tvm_memopt.cost_model.features.unit_loops import without_unit_loops

PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class Samples:
    """Measured candidates.

    ``graphs``: values compressed to float32. ``seconds``: float64 [candidates], median of the repeats. ``spread``:
    float64 [candidates], standard deviation of the repeats divided by their median. ``program``: int64 [candidates],
    index in ``names``. ``origins``: "random" or the model of each program. ``stages``: of each program. ``repeats``:
    float64 [candidates, repeats], padded with NaN. ``scales``: time scale factors of the folders.
    """

    graphs: Graphs
    seconds: np.ndarray
    spread: np.ndarray
    program: np.ndarray
    names: list[str]
    origins: list[str]
    stages: list[int]
    repeats: np.ndarray
    scales: list[Scale] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.seconds)

    @property
    def fastest(self) -> np.ndarray:
        """Seconds of the fastest candidate of each candidate's program."""
        best = np.full(len(self.names), np.inf)
        np.minimum.at(best, self.program, self.seconds)
        return np.asarray(best[self.program])

    def of_programs(self, wanted: Sequence[int] | np.ndarray) -> np.ndarray:
        """Indices of the candidates of these programs."""
        return np.flatnonzero(np.isin(self.program, np.asarray(wanted, np.int64)))


def load_samples(folders: Sequence[Path]) -> tuple[Samples, str]:
    """Load all candidates of some collections, in the order of time_scales.read_parts, and their target.

    Raises MemoptError if a collection is empty, damaged, or was collected for another target than the first.
    """
    parts, scales, target = read_parts(folders)
    numbers: dict[str, int] = {}
    names: list[str] = []
    stages: list[int] = []
    origins: list[str] = []
    programs: list[int] = []
    graphs: list[Graphs] = []
    repeats: list[np.ndarray] = []
    for part in parts:
        program = part.times.program
        number = numbers.setdefault(program_key(part.times), len(numbers))
        if number == len(names):
            names.append(str(program["name"]))
            stages.append(int(program["stages"]))
            origins.append(str(program["origin"]))
        programs += [number] * len(part.kept)
        graphs.append(compressed(read_shard(part.path).graphs.select(part.kept)))
        repeats.append(part.times.seconds[part.kept] * part.scale)
    width = max(rows.shape[1] for rows in repeats)
    padded = [np.pad(rows, ((0, 0), (0, width - rows.shape[1])), constant_values=np.nan) for rows in repeats]
    every = np.concatenate(padded)
    seconds = np.nanmedian(every, axis=1)
    spread = np.nanstd(every, axis=1) / seconds
    return Samples(join(graphs), seconds, spread, np.array(programs), names, origins, stages, every, scales), target


def compressed(graphs: Graphs) -> Graphs:
    """Remove unit loops from graphs of raw values, and compress the values to signed logarithms in float32."""
    graphs = without_unit_loops(graphs)
    nodes = {name: compress(values) for name, values in graphs.nodes.items()}
    values = {key: compress(rows) for key, rows in graphs.edge_values.items()}
    return Graphs(nodes, graphs.node_starts, graphs.edges, values, graphs.edge_starts)


def split_programs(
    names: Sequence[str], seed: int = 0, shares: tuple[float, float] = (0.7, 0.1), fold: int = 0
) -> dict[str, np.ndarray]:
    """Split programs into training, early-stopping and test parts by a seeded hash of the name.

    Returns program indices by part. A program stays in its part when others are added. ``shares``: of training and
    early stopping; the rest is for testing. ``fold``: rotates the parts, so that with 0, 1, … each program is in the
    test part once. If a part would be empty, as with few programs, the programs are sorted by hash and cut by share.
    """
    test = 1.0 - sum(shares)
    places = np.array([(_place(name, seed) - fold * test) % 1.0 for name in names])
    ends = [shares[0], sum(shares)]
    part = np.searchsorted(ends, places, side="right")
    if len(names) >= len(PARTS) and any(not (part == i).any() for i in range(2 if test < 1e-9 else 3)):
        ranks = np.argsort(np.argsort(places))
        first, last = max(1, round(ends[0] * len(names))), len(names) - round(test * len(names))
        part = np.searchsorted([min(first, last - 1), last], ranks, side="right")
    return {name: np.flatnonzero(part == number) for number, name in enumerate(PARTS)}


def _place(name: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64

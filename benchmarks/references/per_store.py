"""TVM's per-store features of a collection, for the baselines: derived once from the databases, stored with the shards.

FOLDER/PROGRAM/per_store.npz     concatenated rows of all candidates, in the order of graphs.npz
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tvm_memopt.atomic import atomic_path
from tvm_memopt.cost_model.data.shards import read_times
from tvm_memopt.cost_model.data.time_scales import read_parts
from tvm_memopt.cost_model.measure.intrinsics import cpu_intrinsics
from tvm_memopt.errors import MemoptError

if TYPE_CHECKING:
    import tvm

NAME = "per_store.npz"
COLUMNS = 164


@dataclass(frozen=True)
class Stores:
    """``rows``: float32 [stores, 164]; ``starts``: int64 [candidates + 1], where each candidate's rows start."""

    rows: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    def select(self, wanted: np.ndarray) -> Stores:
        """Those candidates, in that order."""
        from tvm_memopt.cost_model.features.extract import rows_of_graphs

        lengths = self.starts[wanted + 1] - self.starts[wanted]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return Stores(self.rows[rows_of_graphs(self.starts, wanted)], starts)

    @property
    def candidate(self) -> np.ndarray:
        """The number of the candidate of each row."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))


def load_stores(folders: Sequence[Path], watch: Callable[[str], None] | None = None) -> Stores:
    """Rows of all candidates, in the order of samples.load_samples; what is missing is derived, which needs TVM.

    ``watch`` is told the name of each program that is derived.
    """
    found_parts = []
    for part in read_parts(folders)[0]:
        found = _cached(part.path)
        if found is None:
            if watch is not None:
                watch(part.path.parent.name)
            found = _derive(part.path)
        found_parts.append(found.select(part.kept))
    counts = np.concatenate([np.diff(part.starts) for part in found_parts])
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Stores(np.concatenate([part.rows for part in found_parts]), starts)


def _cached(shard: Path) -> Stores | None:
    path = shard.with_name(NAME)
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            found = Stores(file["rows"], file["starts"])
            agrees = np.array_equal(file["hashes"], read_times(shard).hashes)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return found if agrees else None


def _derive(shard: Path) -> Stores:
    """From the database beside a shard. Raises MemoptError where that has not all of the shard's candidates."""

    hashes = read_times(shard).hashes
    mods, target = _replayed(shard.parent)
    missing = [number for number in hashes if int(number) not in mods]
    if missing:
        raise MemoptError(f"{shard}: {len(missing)} candidates are not in the database beside it: collect again")
    rows = per_store_rows([mods[int(number)] for number in hashes], target)
    starts = np.concatenate([[0], np.cumsum([len(part) for part in rows])]).astype(np.int64)
    found = Stores(np.concatenate(rows).astype(np.float32), starts)
    with atomic_path(shard.with_name(NAME)) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, rows=found.rows, starts=found.starts, hashes=hashes)
    return found


def _replayed(folder: Path) -> tuple[dict[int, Any], Any]:
    """Scheduled modules of a database by structural hash, and their target."""
    from tvm_memopt.cost_model.data.collection import open_database
    from tvm_memopt.cost_model.measure.sampling import candidate_hash

    mods, target = {}, None
    for record in open_database(folder).get_all_tuning_records():
        mod = record.as_measure_candidate().sch.mod
        mods[candidate_hash(mod)], target = mod, record.target
    return mods, target


def per_store_rows(mods: Sequence[tvm.IRModule], target: tvm.target.Target) -> list[np.ndarray]:
    """TVM's own features for comparison: float64 [buffers written, 164] for each module."""
    import tvm
    from tvm.s_tir import meta_schedule as ms

    extractor = ms.feature_extractor.PerStoreFeature()
    with cpu_intrinsics():
        context = ms.TuneContext(mod=mods[0], target=target, num_threads=1)
    candidates = [ms.MeasureCandidate(tvm.s_tir.Schedule(mod), []) for mod in mods]
    return [rows.numpy() for rows in extractor.extract_from(context, candidates)]

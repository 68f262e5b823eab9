"""Derived data of one program: graphs of its candidates and their times, in one compressed .npz file.

The rows of all graphs are concatenated into plain arrays, so that numpy alone can read them. A shard is derived from
the database in the same folder and can be regenerated.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from tvm_memopt.atomic import atomic_path
from tvm_memopt.cost_model.features.columns import EDGE_COLUMNS, FEATURE_VERSION, NODE_COLUMNS
from tvm_memopt.cost_model.features.extract import EdgeType, Graphs
from tvm_memopt.errors import MemoptError

NAME = "graphs.npz"


@dataclass(frozen=True)
class Times:
    """Times of one program's candidates.

    ``seconds``: float64 [candidates, repeats], padded with NaN. ``hashes``: uint64 [candidates], structural hashes of
    the scheduled modules. ``program``: name, origin, weight, stages, workload.
    """

    seconds: np.ndarray
    hashes: np.ndarray
    program: dict[str, str | int]

    @property
    def median(self) -> np.ndarray:
        """Seconds of each candidate: the median of its repeats."""
        return np.asarray(np.nanmedian(self.seconds, axis=1))

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation of each candidate's repeats divided by their median. 0 for a single repeat."""
        return np.asarray(np.nanstd(self.seconds, axis=1) / self.median)


@dataclass(frozen=True)
class Shard(Times):
    """Times together with the graphs of the candidates."""

    graphs: Graphs


def padded(samples: Sequence[Sequence[float]]) -> np.ndarray:
    """Repeats as one matrix, with short rows padded with NaN."""
    width = max(map(len, samples), default=0)
    return np.array([[*row, *[np.nan] * (width - len(row))] for row in samples], np.float64).reshape(-1, width)


def write_shard(path: Path, shard: Shard) -> None:
    """Write a shard by atomic rename."""
    # Any, because numpy.savez also has keywords of other types.
    arrays: dict[str, Any] = {"seconds": shard.seconds, "hashes": shard.hashes, **graph_arrays(shard.graphs)}
    header = {"feature_version": FEATURE_VERSION, "program": shard.program}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, header=np.array(json.dumps(header)), **arrays)


def read_shard(path: Path) -> Shard:
    """Read a shard. Raises MemoptError if it is damaged or of another feature version."""
    with _opened(path) as (file, program):
        return Shard(seconds=file["seconds"], hashes=file["hashes"], program=program, graphs=graphs_of(file))


def read_times(path: Path) -> Times:
    """Read a shard without its graphs. Raises as read_shard does."""
    with _opened(path) as (file, program):
        return Times(file["seconds"], file["hashes"], program)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Mapping[str, np.ndarray], dict[str, str | int]]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            found = header["feature_version"]
            if found != FEATURE_VERSION:
                raise MemoptError(
                    f"{path}: is of feature version {found}, expected {FEATURE_VERSION}: run 'tvm-memopt collect' on "
                    "its folder again, which derives it again from the records"
                )
            yield file, header["program"]
    except OSError as error:
        raise MemoptError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise MemoptError(f"{path}: is damaged ({error}): delete it and run 'tvm-memopt collect' again") from error


def graph_arrays(graphs: Graphs) -> dict[str, np.ndarray]:
    """The arrays of a batch of graphs, by their names in an .npz file."""
    return {
        _name(field.name, key): values
        for field in fields(Graphs)
        for key, values in getattr(graphs, field.name).items()
    }


def graphs_of(arrays: Mapping[str, np.ndarray]) -> Graphs:
    """The inverse of graph_arrays. Raises KeyError if an array is missing."""

    def nodes(field: str) -> dict[str, np.ndarray]:
        return {key: arrays[_name(field, key)] for key in NODE_COLUMNS}

    def edges(field: str) -> dict[EdgeType, np.ndarray]:
        return {key: arrays[_name(field, key)] for key in EDGE_COLUMNS}

    return Graphs(nodes("nodes"), nodes("node_starts"), edges("edges"), edges("edge_values"), edges("edge_starts"))


def _name(field: str, key: str | EdgeType) -> str:
    return f"{field}.{key if isinstance(key, str) else '.'.join(key)}"

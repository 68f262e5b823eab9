"""A folder of measured candidates with a database for each program. It can be extended and resumed.

FOLDER/collection.json            target, timing and seed, the same for the whole folder
FOLDER/PROGRAM/database_*.json    TVM's own records: each candidate's trace with all its repeats
FOLDER/PROGRAM/failures.jsonl     candidates that failed to build or run, or timed out, and why
FOLDER/PROGRAM/program.json       origin, weight, stages and the rounds done
FOLDER/PROGRAM/graphs.npz         derived: features and times
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import tvm
from tvm.s_tir import meta_schedule as ms

from tvm_memopt.atomic import write_text_atomic
from tvm_memopt.cost_model.data.manifest import MANIFEST, Manifest, read_manifest
from tvm_memopt.cost_model.data.record_files import RECORDS, WORKLOADS, mend, mend_database
from tvm_memopt.cost_model.data.shards import NAME, Shard, padded, read_shard, write_shard
from tvm_memopt.cost_model.features.extract import extract, join
from tvm_memopt.cost_model.measure.sampling import candidate_hash
from tvm_memopt.errors import MemoptError

if TYPE_CHECKING:
    from tvm_memopt.cost_model.data.programs import Task

FAILURES = "failures.jsonl"


@dataclass
class Notes:
    """Contents of program.json. ``exhausted``: the design space yields no new candidates."""

    name: str
    origin: str
    weight: int
    stages: int
    workload: str
    rounds: int = 0
    exhausted: bool = False


class Store:
    """The records of one program, open for appending. ``warnings``: repairs made on opening."""

    def __init__(self, folder: Path, task: Task) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        torn = mend(folder / FAILURES)
        self.folder, self.warnings = folder, [*mend_database(folder), *([] if torn is None else [torn])]
        self.notes = _read_notes(folder) or Notes(
            task.name, task.origin, task.weight, task.stages, workload_hash(task.mod)
        )
        if not _lines(folder / WORKLOADS):
            open_database(folder).commit_workload(task.mod)
        self.lines = _lines(folder / RECORDS)
        self.failures = {int(e["hash"]): str(e["cause"]) for e in map(json.loads, _lines(folder / FAILURES))}
        if self.failures and not self.lines:  # more likely the device's fault than that of each candidate
            self.warnings.append(f"{folder}: all {len(self.failures)} candidates failed before: they are tried again")
            (folder / FAILURES).unlink()
            self.failures, self.notes.exhausted = {}, False
        self._rows: list[tuple[int, list[float]]] = []
        self._mods: list[tvm.IRModule] = []
        self._old = self._read_old()
        self.seen = set(self.failures)
        if self._old is None:
            self._replay()
        else:
            self.seen.update(int(number) for number in self._old.hashes)

    @property
    def measured(self) -> int:
        """Number of candidates with a time."""
        return len(self.lines)

    def add(self, record: str, mod: tvm.IRModule, number: int, seconds: list[float]) -> None:
        """Store a measured candidate. ``record``: its database line. It is on disk when this returns."""
        index_and_entry = json.loads(record)
        index_and_entry[0], index_and_entry[1][1] = 0, seconds
        self.lines.append(json.dumps(index_and_entry, separators=(",", ":")))
        _append(self.folder / RECORDS, self.lines[-1])
        self._remember(mod, number, seconds)

    def fail(self, number: int, cause: str) -> None:
        """Store a candidate that failed."""
        self.failures[number] = cause
        self.seen.add(number)
        _append(self.folder / FAILURES, json.dumps({"hash": str(number), "cause": cause}))

    def write_best(self, folder: Path, count: int) -> int:
        """Write the fastest schedules as a separate database, and return their number."""
        records = [(line, json.loads(line)[1]) for line in self.lines]
        ranked = sorted((median(entry[1]), line) for line, entry in records if entry[0][0])  # with instructions
        (folder / WORKLOADS).write_bytes((self.folder / WORKLOADS).read_bytes())
        (folder / RECORDS).write_text("".join(f"{line}\n" for _, line in ranked[:count]), encoding="utf-8")
        return len(ranked[:count])

    def close(self) -> None:
        """Write the notes and the shard."""
        write_text_atomic(self.folder / "program.json", json.dumps(asdict(self.notes), indent=1) + "\n")
        if self._rows:
            write_shard(self.folder / NAME, self._shard())

    def _remember(self, mod: tvm.IRModule, number: int, seconds: list[float]) -> None:
        self.seen.add(number)
        self._mods.append(mod)
        self._rows.append((number, seconds))

    def _read_old(self) -> Shard | None:
        """The existing shard if it agrees with the database, or None, in which case it is derived again."""
        try:
            shard = read_shard(self.folder / NAME)
        except MemoptError:
            return None
        return shard if len(shard.hashes) == len(self.lines) else None

    def _replay(self) -> None:
        if not self.lines:
            return
        for record in open_database(self.folder).get_all_tuning_records():
            mod = record.as_measure_candidate().sch.mod
            self._remember(mod, candidate_hash(mod), [float(s) for s in record.run_secs])

    def _shard(self) -> Shard:
        graphs = extract(self._mods)
        rows = [row for _, row in self._rows]
        hashes = np.array([number for number, _ in self._rows], np.uint64)
        if self._old is not None:
            graphs = join([self._old.graphs, graphs])
            rows = [*([float(s) for s in row[~np.isnan(row)]] for row in self._old.seconds), *rows]
            hashes = np.concatenate([self._old.hashes, hashes])
        return Shard(padded(rows), hashes, asdict(self.notes), graphs)


def open_database(folder: Path) -> ms.database.JSONDatabase:
    """TVM's database of one program."""
    return ms.database.JSONDatabase(str(folder / WORKLOADS), str(folder / RECORDS))


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line] if path.exists() else []


def _append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def workload_hash(mod: tvm.IRModule) -> str:
    """The structural hash of a program, in hexadecimal."""
    return f"{candidate_hash(mod):016x}"


def open_folder(folder: Path, manifest: Manifest) -> None:
    """Create a collection or resume one. Raises MemoptError if it was made for another target or timing."""
    path = folder / MANIFEST
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_text_atomic(path, json.dumps(asdict(manifest), indent=1) + "\n")
        return
    found = read_manifest(folder)
    for name, wanted in asdict(manifest).items():
        if getattr(found, name) != wanted:
            raise MemoptError(
                f"{path}: was collected with {name} {getattr(found, name)}, expected {wanted}: name another folder"
            )


def known_workloads(folder: Path) -> dict[str, str]:
    """Names of the programs in a collection, by workload hash."""
    notes = [_read_notes(path.parent) for path in sorted(folder.glob("*/program.json"))]
    return {note.workload: note.name for note in notes if note is not None}


def _read_notes(folder: Path) -> Notes | None:
    try:
        return Notes(**json.loads((folder / "program.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None

"""Collections packed and unpacked: the same candidates, and only what is finished."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

tvm = pytest.importorskip("tvm")

from benchmarks.cost_model import samples  # noqa: E402


def collected(folder: Path, candidates: int) -> None:
    """A collection of one random program, its times made up."""
    from tvm.s_tir import meta_schedule as ms

    from tvm_memopt.cost_model.data.collection import Store, open_folder
    from tvm_memopt.cost_model.data.manifest import Manifest
    from tvm_memopt.cost_model.data.programs import random_task
    from tvm_memopt.cost_model.measure.builds import host_target
    from tvm_memopt.cost_model.measure.sampling import candidate_hash, sample

    target, task = host_target(cores=4), random_task(0, 0)
    open_folder(folder, Manifest(str(target), "made up"))
    store = Store(folder / task.name, task)
    drawn = folder.parent / "drawn"
    drawn.mkdir()
    database = ms.database.JSONDatabase(work_dir=str(drawn))
    workload = database.commit_workload(task.mod)
    found = sample(task.mod, target, "default", candidates, 0, ms.database.MemoryDatabase())
    for candidate in found:
        database.commit_tuning_record(
            ms.database.TuningRecord(candidate.sch.trace, workload, [1e10], target, candidate.args_info)
        )
    lines = (drawn / samples.FILES[0]).read_text().splitlines()
    for number, (line, candidate) in enumerate(zip(lines, found, strict=True)):
        store.add(line, candidate.sch.mod, candidate_hash(candidate.sch.mod), [1e-3 * (number + 1)] * 3)
    store.close()


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples") / "data"
    collected(folder, 4)
    return folder


def test_what_is_unpacked_is_what_was_packed(collection: Path, tmp_path: Path) -> None:
    from tvm_memopt.cost_model.data.manifest import read_shards

    assert samples.pack(collection, tmp_path / "set", least=2) == 1
    assert samples.pack(collection, tmp_path / "set", least=2) == 0  # it has it
    (old,) = read_shards(collection)
    assert samples.unpack(tmp_path / "set", tmp_path / "again") == len(old.seconds)
    (new,) = read_shards(tmp_path / "again")
    np.testing.assert_array_equal(new.seconds, old.seconds)
    np.testing.assert_array_equal(new.hashes, old.hashes)
    np.testing.assert_array_equal(new.graphs.nodes["statement"], old.graphs.nodes["statement"])
    assert samples.unpack(tmp_path / "set", tmp_path / "again") == len(old.seconds)  # nothing is there twice


def test_unfinished_programs_are_left_out(collection: Path, tmp_path: Path) -> None:
    assert samples.pack(collection, tmp_path / "set", least=1000) == 0
    other = tmp_path / "exhausted"
    shutil.copytree(collection, other)
    notes = next(other.glob("*/program.json"))
    notes.write_text(json.dumps({**json.loads(notes.read_text()), "exhausted": True}))
    assert samples.pack(other, tmp_path / "set", least=1000) == 1


def test_the_same_records_give_the_same_archive(collection: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        samples.pack(collection, tmp_path / name, least=1)
    (a,), (b,) = (list((tmp_path / name).glob("*.tar.xz")) for name in ("a", "b"))
    assert a.read_bytes() == b.read_bytes()

"""Results on disk: found again for the same kernel, target and network alone."""

from pathlib import Path

import pytest

pytest.importorskip("tvm")
import tvm
from tvm import te

from tvm_memopt.cost_model.tuner.predicted.cache import ScheduleCache
from tvm_memopt.cost_model.tuner.predicted.choices import Choice, Found

TARGET = tvm.target.Target({"kind": "llvm", "num-cores": 1})
FOUND = Found(Choice(2e-3, 64, None), (Choice(1e-3, 0, [[1, "two"], 3.5]),))


def _kernel(extent: int) -> tvm.IRModule:
    x = te.placeholder((extent,), name="x")
    return tvm.IRModule({"main": te.create_prim_func([x, te.compute((extent,), lambda i: x[i] * 2)])})


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "network.npz"
    path.write_bytes(b"weights")
    return path


def test_a_result_is_read_back(tmp_path: Path, network: Path) -> None:
    ScheduleCache(TARGET, network, tmp_path / "cache").write(_kernel(8), FOUND)
    assert ScheduleCache(TARGET, network, tmp_path / "cache").read(_kernel(8)) == FOUND


def test_another_kernel_target_or_network_has_none(tmp_path: Path, network: Path) -> None:
    folder = tmp_path / "cache"
    ScheduleCache(TARGET, network, folder).write(_kernel(8), FOUND)
    assert ScheduleCache(TARGET, network, folder).read(_kernel(9)) is None
    other = tvm.target.Target({"kind": "llvm", "num-cores": 2})
    assert ScheduleCache(other, network, folder).read(_kernel(8)) is None
    network.write_bytes(b"other weights")
    assert ScheduleCache(TARGET, network, folder).read(_kernel(8)) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "memopt-schedules/1"}', '{"format": "other"}'])
def test_a_damaged_file_counts_as_absent(tmp_path: Path, network: Path, text: str) -> None:
    cache = ScheduleCache(TARGET, network, tmp_path / "cache")
    cache.write(_kernel(8), FOUND)
    (file,) = (tmp_path / "cache").iterdir()
    file.write_text(text)
    assert cache.read(_kernel(8)) is None


def test_a_folder_that_cannot_be_made_is_trouble_and_no_error(tmp_path: Path, network: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = ScheduleCache(TARGET, network, tmp_path / "file" / "cache")
    cache.write(_kernel(8), FOUND)
    assert cache.trouble is not None

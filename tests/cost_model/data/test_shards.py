import numpy as np
import pytest

pytest.importorskip("tvm", reason="graphs are made of TVM's modules")

from tests.cost_model.programs_by_hand import matmul, scheduled_matmul
from tvm_memopt.cost_model.data import shards
from tvm_memopt.cost_model.data.shards import Shard, padded, read_shard, write_shard
from tvm_memopt.cost_model.features.extract import extract, join
from tvm_memopt.errors import MemoptError


@pytest.fixture
def shard():
    graphs = extract([matmul(), scheduled_matmul()])
    return Shard(padded([[1.0, 2.0, 4.0], [3.0]]), np.array([2**64 - 1, 5], np.uint64), {"name": "p"}, graphs)


def test_a_shard_is_read_as_it_was_written(tmp_path, shard):
    write_shard(tmp_path / "graphs.npz", shard)
    found = read_shard(tmp_path / "graphs.npz")
    np.testing.assert_array_equal(found.seconds, shard.seconds)
    np.testing.assert_array_equal(found.hashes, shard.hashes)
    assert found.program == shard.program
    for key, ends in shard.graphs.edges.items():
        np.testing.assert_array_equal(found.graphs.edges[key], ends)
        np.testing.assert_array_equal(found.graphs.edge_values[key], shard.graphs.edge_values[key])
    for name, values in shard.graphs.nodes.items():
        np.testing.assert_array_equal(found.graphs.nodes[name], values)


def test_median_and_spread_are_over_the_repeats_there_are(shard):
    assert shard.median.tolist() == [2.0, 3.0]
    assert shard.spread.tolist() == [np.std([1, 2, 4]) / 2, 0.0]


def test_joined_batches_are_those_extracted_together():
    mods = [matmul(), scheduled_matmul(), matmul(4, 4, 4)]
    joined, whole = join([extract(mods[:2]), extract(mods[2:])]), extract(mods)
    for key, ends in whole.edges.items():
        np.testing.assert_array_equal(joined.edges[key], ends)
        np.testing.assert_array_equal(joined.edge_starts[key], whole.edge_starts[key])
    for name, starts in whole.node_starts.items():
        np.testing.assert_array_equal(joined.node_starts[name], starts)


def test_another_feature_version_is_refused_by_name(tmp_path, shard, monkeypatch):
    path = tmp_path / "graphs.npz"
    monkeypatch.setattr(shards, "FEATURE_VERSION", 0)
    write_shard(path, shard)
    monkeypatch.undo()
    with pytest.raises(MemoptError, match="is of feature version 0, expected 1: run 'tvm-memopt collect'"):
        read_shard(path)


@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda raw: b"", lambda raw: b"not a zip file"])
def test_a_damaged_shard_is_one_clear_line(tmp_path, shard, damage):
    path = tmp_path / "graphs.npz"
    write_shard(path, shard)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(MemoptError, match="is damaged") as error:
        read_shard(path)
    assert len(str(error.value).splitlines()) == 1
    with pytest.raises(MemoptError, match="cannot be read: No such file"):
        read_shard(tmp_path / "missing.npz")

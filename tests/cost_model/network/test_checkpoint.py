import json

import numpy as np
import pytest

from tvm_memopt.cost_model.network import checkpoint as module
from tvm_memopt.cost_model.network.checkpoint import Checkpoint, load_checkpoint, same_target, save_checkpoint
from tvm_memopt.cost_model.network.normalization import Normalization
from tvm_memopt.errors import MemoptError

TARGET = '{"kind":"llvm","num-cores":4,"mcpu":"x86-64-v3"}'


@pytest.fixture
def path(tmp_path):
    ones = {"loop": np.ones(3, np.float32)}
    made = Checkpoint({"width": 4}, {"w": np.arange(6.0).reshape(2, 3)}, Normalization(ones, ones), TARGET, {"a": 1})
    save_checkpoint(tmp_path / "model.npz", made)
    return tmp_path / "model.npz"


def test_a_checkpoint_is_read_as_it_was_written(path):
    found = load_checkpoint(path, TARGET)
    assert (found.architecture, found.target, found.card) == ({"width": 4}, TARGET, {"a": 1})
    assert found.weights["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found.normalization.means["loop"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_checkpoint_cut_short_is_refused(path, keep):
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(MemoptError, match="damaged"):
        load_checkpoint(path)


def test_a_changed_byte_is_refused(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(MemoptError, match="damaged"):
        load_checkpoint(path)


def test_a_pickle_is_not_opened(path):
    np.savez(path, header=np.array([{"format": module.FORMAT}], object))
    with pytest.raises(MemoptError, match="damaged"):
        load_checkpoint(path)


@pytest.mark.parametrize(("field", "value"), [("format", "other/1"), ("target", None)])
def test_other_files_of_the_kind_are_refused(path, field, value):
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(str(arrays.pop("header")))
    header[field] = value
    np.savez(path, header=np.array(json.dumps(header)), **arrays)
    with pytest.raises(MemoptError, match="damaged"):
        load_checkpoint(path, TARGET)


def test_another_feature_version_is_refused_by_its_number(path, monkeypatch):
    monkeypatch.setattr(module, "FEATURE_VERSION", 99)
    with pytest.raises(MemoptError, match=r"feature version 1, expected 99: train it again"):
        load_checkpoint(path)


def test_another_target_is_refused_and_cores_do_not_make_one(path):
    with pytest.raises(MemoptError, match="was trained for target"):
        load_checkpoint(path, '{"kind":"llvm","mcpu":"znver4"}')
    load_checkpoint(path, '{"kind":"llvm","num-cores":1,"mcpu":"x86-64-v3","keys":["cpu"]}')
    assert not same_target(TARGET, '{"kind":"llvm"}')


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(MemoptError, match="cannot be read: No such file"):
        load_checkpoint(tmp_path / "none.npz")

import json

import numpy as np
import pytest

pytest.importorskip("tvm", reason="graphs are made of TVM's modules")

from tests.cost_model.made_up_data import collection
from tvm_memopt.cost_model.data.samples import load_samples, split_programs
from tvm_memopt.cost_model.data.time_scales import measured_again
from tvm_memopt.errors import MemoptError


def test_samples_are_the_candidates_of_all_folders(tmp_path):
    folders = [collection(tmp_path / name, 2, 3, prefix=name) for name in "ab"]
    samples, target = load_samples(folders)
    assert (len(samples), len(samples.names), len(samples.graphs)) == (12, 4, 12)
    assert json.loads(target)["mcpu"] == "x86-64-v3"
    assert samples.program.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert (samples.fastest <= samples.seconds).all()
    assert samples.spread == pytest.approx(np.std([0.99, 1, 1.01]), rel=1e-6)
    assert samples.of_programs([1, 3]).tolist() == [3, 4, 5, 9, 10, 11]


def test_what_two_machines_measured_tells_their_ratio(tmp_path):
    """The second machine takes 1.25 times as long; it has two programs of the first, one with more candidates."""
    one = collection(tmp_path / "a", 2, 3)
    other = collection(tmp_path / "b", 4, 5, slower=1.25)
    alone, both = load_samples([collection(tmp_path / "c", 4, 5)])[0], load_samples([one, other])[0]
    assert both.names == alone.names
    for number in range(4):
        mine, all_of_it = both.of_programs([number]), alone.of_programs([number])
        assert sorted(both.seconds[mine]) == pytest.approx(sorted(alone.seconds[all_of_it]))
    assert len(both.graphs) == len(both) == 20
    assert both.program.tolist() == [0] * 3 + [1] * 3 + [0] * 2 + [1] * 2 + [2] * 5 + [3] * 5


def test_what_was_measured_again_is_told_apart(tmp_path):
    one, other = collection(tmp_path / "a", 2, 3), collection(tmp_path / "b", 3, 5, slower=1.25)
    samples, _ = load_samples([one, other])
    assert [(scale.folder, scale.shared) for scale in samples.scales] == [(one, 0), (other, 6)]
    assert samples.scales[1].factor == pytest.approx(0.8)
    first, again, programs = measured_again([one, other])
    assert again == pytest.approx(first)
    assert programs == ["product_0"] * 3 + ["product_1"] * 3


def test_programs_are_told_apart_by_what_they_are_not_by_name(tmp_path):
    one = collection(tmp_path / "a", 1, 3)
    other = collection(tmp_path / "b", 1, 3, slower=3.0, workload="another")
    samples, _ = load_samples([one, other])
    assert (samples.names, samples.program.tolist()) == (["product_0"] * 2, [0] * 3 + [1] * 3)
    assert samples.scales[1].shared == 0


def test_folders_of_two_targets_are_refused(tmp_path):
    one, other = collection(tmp_path / "a", 1), collection(tmp_path / "b", 1, target='{"kind":"llvm"}')
    with pytest.raises(MemoptError, match="another target than"):
        load_samples([one, other])


def test_a_folder_without_candidates_is_refused(tmp_path):
    with pytest.raises(MemoptError, match="holds no measured candidate"):
        load_samples([collection(tmp_path / "a", 0)])


def test_programs_keep_their_part_when_others_come():
    names = [f"random_0_{i}" for i in range(200)]
    few, many = split_programs(names[:100]), split_programs(names)
    for part, numbers in few.items():
        assert set(numbers) == {i for i in many[part] if i < 100}
    sizes = {part: len(numbers) for part, numbers in many.items()}
    assert sum(sizes.values()) == 200
    assert 120 < sizes["train"] < 160
    assert 8 < sizes["valid"] < 36


def test_folds_test_each_program_once():
    names = [f"random_0_{i}" for i in range(50)]
    tested = np.concatenate([split_programs(names, fold=fold)["test"] for fold in range(5)])
    assert sorted(tested) == list(range(50))


@pytest.mark.parametrize("count", [3, 4, 9])
def test_few_programs_leave_no_part_empty(count):
    split = split_programs([f"p{i}" for i in range(count)])
    assert sorted(np.concatenate(list(split.values()))) == list(range(count))
    assert all(len(numbers) for numbers in split.values())

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the network needs torch")
pytest.importorskip("tvm", reason="graphs are made of TVM's modules")

import torch

from tests.cost_model.programs_by_hand import matmul, pipeline, scheduled_matmul
from tvm_memopt.cost_model.data.model_calls import (
    CALL_COLUMNS,
    EDGE_COLUMNS,
    NetworkSample,
    calls_of,
    read_sample,
    write_sample,
)
from tvm_memopt.cost_model.data.samples import compressed
from tvm_memopt.cost_model.features.extract import extract
from tvm_memopt.cost_model.network.adapt import adapted
from tvm_memopt.cost_model.network.checkpoint import load_checkpoint, save_checkpoint
from tvm_memopt.cost_model.network.gcn import Architecture, GraphNetwork
from tvm_memopt.cost_model.network.model_time import from_call_checkpoint, kernel_seconds, train_calls
from tvm_memopt.cost_model.network.normalization import fit_normalization
from tvm_memopt.cost_model.network.predictor import Trained
from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import Graph, Op, Tensor

KERNELS = ("fast", "slow", "small")


def diamond():
    """x -> a -> view -> b; x -> c; b, c -> d."""
    sizes = {"x": 100, "a": 40, "v": 40, "b": 20, "c": 60, "d": 8}
    tensors = tuple(
        Tensor(name, size, "input" if name == "x" else "activation", arena=name != "x") for name, size in sizes.items()
    )
    ops = (
        Op("a", (0,), (1,)), Op("view", (1,), (2,)), Op("c", (0,), (4,)), Op("b", (2,), (3,)), Op("d", (3, 4), (5,)),
    )  # fmt: skip
    return Graph("diamond", tensors, ops)


@pytest.fixture
def sample():
    calls = calls_of(diamond(), ["fast", None, "slow", "fast", "small"], [1e-6, 4e-6, 2e-6, 1e-6])
    return NetworkSample("diamond", calls, compressed(extract([scheduled_matmul(), matmul(), pipeline()])))


@pytest.fixture
def level1(sample):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return Trained(GraphNetwork(Architecture(16, 8, 1)).eval(), fit_normalization(sample.graphs), "{}", {})


def test_calls_are_tied_by_tensors_through_views(sample):
    calls = sample.calls
    assert (calls.names, calls.kernels.tolist()) == (sorted(KERNELS), [0, 1, 0, 2])
    assert calls.edges.T.tolist() == [[0, 2], [2, 3], [1, 3]]
    raw = np.round(2.0**calls.edge_values - 1).astype(int)
    assert dict(zip(EDGE_COLUMNS, raw.T.tolist(), strict=True)) == {
        "nbytes": [40, 20, 60], "moved_nbytes": [240, 0, 60], "steps": [3, 1, 2],
    }  # fmt: skip
    row = dict(zip(CALL_COLUMNS, np.round(2.0 ** calls.values[3] - 1).astype(int).tolist(), strict=True))
    assert row == {
        "input_nbytes": 80, "output_nbytes": 8, "inputs": 2, "outputs": 1, "readers": 0, "coldest_input_nbytes": 60,
    }  # fmt: skip


def test_a_sample_is_read_as_it_was_written_and_a_damaged_one_refused(sample, tmp_path):
    path = tmp_path / "sample.npz"
    write_sample(path, sample)
    found = read_sample(path)
    assert (found.name, found.calls.names) == (sample.name, sample.calls.names)
    assert np.array_equal(found.calls.seconds, sample.calls.seconds)
    assert np.array_equal(found.calls.edges, sample.calls.edges)
    assert np.array_equal(found.graphs.nodes["loop"], sample.graphs.nodes["loop"])
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(MemoptError, match="damaged"):
        read_sample(path)


def test_without_training_the_times_are_those_of_level_one(sample, level1):
    found = train_calls(level1, [sample], epochs=0)
    np.testing.assert_allclose(found.predict(sample), kernel_seconds(level1, sample), rtol=1e-5)


def test_training_brings_calls_and_the_whole_closer(sample, level1):
    found = train_calls(level1, [sample], epochs=300)
    truth = sample.calls.seconds
    before, after = kernel_seconds(level1, sample), found.predict(sample)
    assert np.abs(after / truth - 1).mean() < 0.3 * np.abs(before / truth - 1).mean()
    assert abs(after.sum() / truth.sum() - 1) < 0.2


def test_a_checkpoint_predicts_the_same_and_one_of_kernels_is_refused(sample, level1, tmp_path):
    trained = train_calls(level1, [sample], [sample], epochs=5)
    save_checkpoint(tmp_path / "calls.npz", trained.checkpoint())
    again = from_call_checkpoint(level1, load_checkpoint(tmp_path / "calls.npz"), "calls.npz")
    assert np.array_equal(again.predict(sample), trained.predict(sample))
    with pytest.raises(MemoptError, match="single kernels"):
        from_call_checkpoint(level1, level1.checkpoint(), "level1.npz")


def test_level_one_is_fine_tuned_on_the_kernels_of_models_and_left_as_it_was(sample, level1):
    truth = sample.calls.seconds
    before = kernel_seconds(level1, sample)
    tuned = adapted(level1, [sample], epochs=150)
    assert np.array_equal(kernel_seconds(level1, sample), before)
    after = kernel_seconds(tuned, sample)
    assert np.abs(np.log(after / truth)).mean() < 0.5 * np.abs(np.log(before / truth)).mean()


def test_an_epoch_that_held_out_models_do_not_like_is_not_kept(sample, level1):
    other = replace(sample, calls=replace(sample.calls, seconds=kernel_seconds(level1, sample)))
    tuned = adapted(level1, [sample], [other], epochs=10)
    np.testing.assert_allclose(kernel_seconds(tuned, sample), kernel_seconds(level1, sample), rtol=1e-6)


def test_nothing_to_train_on_is_an_error(level1):
    with pytest.raises(MemoptError, match="no measured model"):
        train_calls(level1, [])
    with pytest.raises(MemoptError, match="no measured kernel"):
        adapted(level1, [])

import numpy as np
import pytest

pytest.importorskip("torch", reason="the network needs torch")
pytest.importorskip("tvm", reason="graphs are made of TVM's modules")

import torch

from tests.cost_model.made_up_data import TARGET, collection
from tvm_memopt.cost_model.data.samples import load_samples
from tvm_memopt.cost_model.network.checkpoint import load_checkpoint, save_checkpoint
from tvm_memopt.cost_model.network.gcn import Architecture
from tvm_memopt.cost_model.network.predictor import from_checkpoint
from tvm_memopt.cost_model.network.training import Settings, train
from tvm_memopt.errors import MemoptError

SMALL = Settings(epochs=3, programs_at_once=2, architecture=Architecture(16, 8, 1))


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    torch.set_num_threads(1)
    return load_samples([collection(tmp_path_factory.mktemp("made_up") / "data")])[0]


def weights(trained):
    return np.concatenate([values.ravel() for values in trained.checkpoint().weights.values()])


def test_training_learns_and_its_card_says_how_well(samples):
    card = train(samples, TARGET, Settings(epochs=25, programs_at_once=2, architecture=Architecture(16, 8, 1))).card
    assert card["curves"][-1]["train"] < 0.7 * card["curves"][0]["train"]
    assert set(card["metrics"]) == {"valid", "test"}
    assert sum(card["programs"].values()) == 10
    assert sum(card["candidates"].values()) == 80


def test_the_same_seed_gives_the_same_network_and_another_another(samples):
    one, same, other = (
        train(samples, TARGET, Settings(seed, 2, architecture=SMALL.architecture)) for seed in (1, 1, 2)
    )
    assert np.array_equal(weights(one), weights(same))
    assert not np.array_equal(weights(one), weights(other))


def test_what_was_interrupted_goes_on_as_if_it_had_not_been(samples, tmp_path):
    state, whole = tmp_path / "state", train(samples, TARGET, SMALL)

    def interrupt(curve, _best):
        if curve.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(samples, TARGET, SMALL, state, interrupt)
    epochs = []
    resumed = train(samples, TARGET, SMALL, state, lambda curve, _best: epochs.append(curve.epoch))
    assert epochs == [3]
    assert np.array_equal(weights(whole), weights(resumed))
    assert resumed.card == whole.card
    assert not state.exists()


def test_a_state_of_other_settings_and_a_torn_one_are_refused(samples, tmp_path):
    state = tmp_path / "state"
    with pytest.raises(KeyboardInterrupt):
        train(samples, TARGET, SMALL, state, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    other = Settings(epochs=3, seed=5, architecture=SMALL.architecture)
    with pytest.raises(MemoptError, match="other data or settings"):
        train(samples, TARGET, other, state)
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(MemoptError, match="damaged training state"):
        train(samples, TARGET, SMALL, state)


def test_early_stopping_keeps_the_best_epoch(samples):
    settings = Settings(epochs=40, patience=1, learning_rate=0.05, programs_at_once=2, architecture=SMALL.architecture)
    card = train(samples, TARGET, settings).card
    assert card["epochs"] < 40
    losses = [curve["valid"] for curve in card["curves"]]
    assert losses[-1] >= min(losses)


def test_a_checkpoint_predicts_as_the_network_that_was_trained(samples, tmp_path):
    trained = train(samples, TARGET, SMALL)
    save_checkpoint(tmp_path / "model.npz", trained.checkpoint())
    again = from_checkpoint(load_checkpoint(tmp_path / "model.npz"), "model.npz")
    for one, other in zip(trained.predict(samples.graphs), again.predict(samples.graphs), strict=True):
        np.testing.assert_array_equal(one, other)
    assert again.card["epochs"] == trained.card["epochs"]


def test_weights_of_another_shape_are_refused(samples):
    checkpoint = train(samples, TARGET, SMALL).checkpoint()
    checkpoint.architecture["width"] = 32
    with pytest.raises(MemoptError, match="its weights do not fit"):
        from_checkpoint(checkpoint, "model.npz")


def test_a_single_program_cannot_be_trained_on(tmp_path):
    samples, target = load_samples([collection(tmp_path / "data", 1)])
    with pytest.raises(MemoptError, match="collect more programs"):
        train(samples, target, SMALL)

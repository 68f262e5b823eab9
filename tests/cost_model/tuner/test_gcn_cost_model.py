import numpy as np
import pytest

pytest.importorskip("torch", reason="the network needs torch")
pytest.importorskip("tvm", reason="candidates are TVM's")

import torch
import tvm
from tvm.s_tir import meta_schedule as ms

import tvm_memopt as mo
from tests.cost_model.made_up_data import made_up_seconds, schedules
from tests.cost_model.programs_by_hand import matmul
from tvm_memopt.cost_model.features.extract import extract
from tvm_memopt.cost_model.measure.builds import host_target
from tvm_memopt.cost_model.network.gcn import GraphNetwork
from tvm_memopt.cost_model.network.online import OnlineSettings
from tvm_memopt.cost_model.tuner.gcn_cost_model import GCNCostModel
from tvm_memopt.errors import MemoptError


def round_of(rows, count=8, fail=()):
    """A tuner's context with candidates of one matrix product and their results."""
    torch.set_num_threads(1)
    mods = schedules(rows, 32, 8, count)
    context = ms.TuneContext(mod=matmul(rows, 32, 8), target=host_target(4), num_threads=1)
    candidates = [ms.MeasureCandidate(tvm.s_tir.Schedule(mod), []) for mod in mods]
    seconds = made_up_seconds(extract(mods))
    results = [
        ms.runner.RunnerResult(None, "did not build") if i in fail else ms.runner.RunnerResult([s, s * 1.01], None)
        for i, s in enumerate(seconds)
    ]
    return context, candidates, results, seconds


def test_without_measurements_scores_are_random_and_above_zero():
    context, candidates, _, _ = round_of(16)
    scores = GCNCostModel(seed=1).predict(context, candidates)
    assert scores.dtype == np.float64
    assert (scores > 0).all()
    assert np.array_equal(scores, GCNCostModel(seed=1).predict(context, candidates))


def test_a_cold_model_learns_to_rank_several_programs():
    model = GCNCostModel(settings=OnlineSettings(cold_steps=100, cold_samples=8))
    for rows in (16, 64):
        context, candidates, results, _ = round_of(rows)
        model.update(context, candidates, results)
    for rows in (16, 64):
        context, candidates, _, seconds = round_of(rows)
        scores = model.predict(context, candidates)
        assert np.isfinite(scores).all()
        assert (scores > 0).all()
        assert np.corrcoef(np.log(scores), -np.log(seconds))[0, 1] > 0.9


def test_failed_candidates_are_counted_and_ranked_last():
    model, usual = (GCNCostModel(settings=OnlineSettings(cold_steps=150, cold_samples=6)) for _ in range(2))
    context, candidates, results, _ = round_of(16)
    usual.update(context, candidates, results)
    failed = np.argsort(usual.predict(context, candidates))[-2:]  # what it took for the fastest
    model.update(*round_of(16, fail=failed)[:3])
    assert (model.failed, model.learner.count) == (2, 6)
    assert set(np.argsort(model.predict(context, candidates))[:2]) == set(failed)


@pytest.mark.parametrize("rows", [16, 64])
def test_a_round_in_which_all_failed_teaches_nothing_yet(rows):
    model = GCNCostModel(settings=OnlineSettings(cold_steps=2, cold_samples=6))
    context, candidates, results, _ = round_of(16, fail=range(8))
    model.update(context, candidates, results)
    assert (model.failed, model.learner.count, model.learner.trained) == (8, 0, None)
    model.update(*round_of(rows)[:3])
    assert (model.failed, model.learner.count) == (8, 8)
    assert (model.predict(context, candidates) > 0).all()


def test_saved_and_loaded_it_predicts_the_same_and_goes_on_learning(tmp_path):
    model = GCNCostModel(settings=OnlineSettings(cold_samples=8))
    context, candidates, results, _ = round_of(16)
    model.update(context, candidates, results)
    model.save(str(tmp_path / "model.npz"))
    loaded = GCNCostModel()
    loaded.load(str(tmp_path / "model.npz"))
    again = loaded.predict(context, candidates)
    assert np.array_equal(np.argsort(again), np.argsort(model.predict(context, candidates)))
    loaded.update(context, candidates, results)
    assert not np.array_equal(again, loaded.predict(context, candidates))


def test_nothing_learned_cannot_be_saved(tmp_path):
    with pytest.raises(MemoptError, match="nothing to save"):
        GCNCostModel().save(str(tmp_path / "model.npz"))
    assert not list(tmp_path.iterdir())


def test_a_network_for_another_target_is_refused_at_the_first_prediction(tmp_path):
    model = GCNCostModel()
    context, candidates, results, _ = round_of(16)
    model.update(context, candidates, results)
    model.save(str(tmp_path / "model.npz"))
    loaded = GCNCostModel()
    loaded.load(str(tmp_path / "model.npz"))
    newer = tvm.target.Target({"kind": "llvm", "num-cores": 4, "mcpu": "znver4"})
    context = ms.TuneContext(mod=matmul(), target=newer, num_threads=1)
    with pytest.raises(MemoptError, match="was trained for target"):
        loaded.predict(context, candidates)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    (tmp_path / "model.npz").write_bytes(b"nothing")
    with pytest.raises(MemoptError, match="damaged"):
        GCNCostModel().load(str(tmp_path / "model.npz"))


def test_the_model_is_public():
    assert mo.cost_model.GCNCostModel is GCNCostModel


def test_one_thread_is_used_beside_what_is_timed_and_the_callers_number_left_alone(monkeypatch):
    context, candidates, results, _ = round_of(16)
    model, seen = GCNCostModel(settings=OnlineSettings(cold_steps=2, cold_samples=8)), []
    forward = GraphNetwork.forward
    monkeypatch.setattr(
        GraphNetwork, "forward", lambda *args: (seen.append(torch.get_num_threads()), forward(*args))[1]
    )
    torch.set_num_threads(2)
    model.update(context, candidates, results)
    model.predict(context, candidates)
    assert (set(seen), len(seen) > 2, torch.get_num_threads()) == ({1}, True, 2)

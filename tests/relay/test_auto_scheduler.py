"""The graph network in the auto-scheduler. Runs under the Relay-era TVM (0.16) alone."""

import json
import logging

import numpy as np
import pytest

pytest.importorskip("tvm.relay", reason="the auto-scheduler is the Relay-era TVM's")
pytest.importorskip("torch", reason="the network needs torch")

import tvm
from tvm import auto_scheduler, te, topi
from tvm.auto_scheduler import search_task, task_scheduler

from tvm_memopt.cost_model.features.columns import STATEMENT, STATEMENT_INVARIANT
from tvm_memopt.cost_model.features.extract import extract_old
from tvm_memopt.cost_model.network.checkpoint import PRETRAINED, load_checkpoint
from tvm_memopt.cost_model.network.online import OnlineSettings
from tvm_memopt.cost_model.tuner import auto_scheduler as ours
from tvm_memopt.cost_model.tuner.auto_scheduler import GCNModel, default_cost_model, program_of
from tvm_memopt.errors import MemoptError

TRIPLE = "llvm -mtriple=x86_64-linux-gnu -mcpu=x86-64-v2 -cl-opt=-enable-tbaa:bool=false"
SMALL = {"evolutionary_search_population": 16, "evolutionary_search_num_iters": 1, "sample_init_min_population": 12}
QUICK = OnlineSettings(cold_steps=40, cold_samples=8)


def host(options=""):
    return tvm.target.Target(TRIPLE + options, host=TRIPLE + options)


@auto_scheduler.register_workload
def relay_test_conv(channels, size):
    data, kernel = (te.placeholder(shape) for shape in ((1, channels, size, size), (8, channels, 3, 3)))
    return [data, kernel, topi.nn.relu(topi.nn.conv2d_nchw(data, kernel, 1, 1, dilation=1, out_dtype="float32"))]


@auto_scheduler.register_workload
def relay_test_softmax(rows, columns):
    data = te.placeholder((rows, columns))
    return [data, topi.nn.softmax(data)]


def search_task_of(function, *sizes, target=TRIPLE):
    return auto_scheduler.SearchTask(func=function, args=sizes, target=tvm.target.Target(target, host=target))


def states_of(task, count=12):
    policy = auto_scheduler.SketchPolicy(task, auto_scheduler.RandomModel(), params=SMALL, seed=1, verbose=0)
    return list(policy.sample_initial_population())[:count]


def seconds_of(task, states):
    """Made-up times: the traffic between caches and a fee for a loop without vectors."""
    graphs = extract_old([program_of(task, state) for state in states])
    rows, owner = graphs.nodes["statement"], graphs.graph_of("statement")
    cost = rows[:, STATEMENT.index("traffic_2048")] + 9 * rows[:, STATEMENT.index("iterations")] * (
        rows[:, STATEMENT.index("vector_extent")] == 1
    )
    return np.bincount(owner, cost) * 1e-9


def measured(task, states, fail=()):
    """Inputs and results of a round in which the states numbered ``fail`` failed."""
    inputs = [auto_scheduler.MeasureInput(task, state) for state in states]
    failure = auto_scheduler.MeasureResult([1e10], 4, "RuntimeDevice", 0.1, 0.0)
    results = [
        failure if i in fail else auto_scheduler.MeasureResult([s, s * 1.02], 0, "", 0.1, 0.0)
        for i, s in enumerate(seconds_of(task, states))
    ]
    return inputs, results


@pytest.fixture(scope="module")
def task():
    return search_task_of(relay_test_conv, 4, 10)


@pytest.fixture(scope="module")
def states(task):
    return states_of(task)


def saved_for(target, path, task, states):
    """A checkpoint that names a target."""
    model = GCNModel(settings=OnlineSettings(cold_steps=1))
    model.update(*measured(task, states))
    model.learner.trained.target = json.dumps(target)
    model.save(path)
    return path


def test_what_no_schedule_changes_is_the_same_in_all_states(task, states):
    graphs = extract_old([program_of(task, state) for state in states])
    rows, owner = graphs.nodes["statement"], graphs.graph_of("statement")
    update = rows[rows[:, STATEMENT.index("is_reduction")] == 1]
    assert len(states) == len(update) == 12
    assert len(np.unique(rows[:, STATEMENT.index("iterations")])) > 3  # the schedules differ
    assert len(np.unique(update[:, : len(STATEMENT_INVARIANT)], axis=0)) == 1
    found = dict(zip(STATEMENT, update[0], strict=True))
    assert (found["spatial_points"], found["reduction_points"]) == (8 * 10 * 10, 4 * 3 * 3)
    assert set(owner) == set(range(12))


def test_several_reductions_and_their_stages_are_read():
    task = search_task_of(relay_test_softmax, 8, 32)
    graphs = extract_old([program_of(task, state) for state in states_of(task)])
    rows = graphs.nodes["statement"]
    assert np.isfinite(rows).all()
    assert (rows[:, STATEMENT.index("recompute")] >= 1).all()
    assert rows[:, STATEMENT.index("is_reduction")].sum() >= 2 * len(graphs)


def test_without_measurements_scores_are_random_and_above_zero(task, states):
    scores = GCNModel(seed=1).predict(task, states)
    assert scores.shape == (12,)
    assert (scores > 0).all()
    assert len(set(scores)) == 12
    assert np.array_equal(scores, GCNModel(seed=1).predict(task, states))


def test_a_cold_model_learns_to_rank(task, states):
    model = GCNModel(settings=QUICK)
    model.update(*measured(task, states))
    scores = model.predict(task, states)
    assert np.corrcoef(np.log(scores), -np.log(seconds_of(task, states)))[0, 1] > 0.9


def test_the_bundled_network_ranks_before_it_has_seen_the_task(task, states, caplog):
    caplog.set_level(logging.INFO)
    scores = GCNModel.pretrained().predict(task, states)
    assert scores.max() == 1.0
    assert len(set(scores)) == 12
    assert "was trained for mcpu x86-64-v3, here x86-64-v2: it ranks" in caplog.text


def test_failed_states_are_counted_and_ranked_last(task, states):
    model, usual = (GCNModel(settings=QUICK) for _ in range(2))
    usual.update(*measured(task, states))
    failed = np.argsort(usual.predict(task, states))[-2:]  # what it took for the fastest
    model.update(*measured(task, states, fail=failed))
    assert (model.failed, model.learner.count) == (2, 10)
    assert set(np.argsort(model.predict(task, states))[:2]) == set(failed)


def test_a_state_that_cannot_be_lowered_is_invalid_and_not_learned(task, states, monkeypatch):
    inputs, results = measured(task, states)
    calls = iter(range(1000))
    whole = program_of
    monkeypatch.setattr(ours, "program_of", lambda *args: None if next(calls) % 12 == 3 else whole(*args))
    model = GCNModel(settings=OnlineSettings(cold_steps=1))
    assert np.flatnonzero(np.isneginf(model.predict(task, states))).tolist() == [3]
    model.update(inputs, results)
    assert model.learner.count == 11
    monkeypatch.setattr(ours, "program_of", lambda *args: None)
    assert np.isneginf(model.predict(task, states)).all()


def test_nothing_to_score_or_learn_is_no_error(task):
    model = GCNModel()
    model.update([], [])
    assert len(model.predict(task, [])) == 0


def test_one_model_serves_several_tasks(task, states):
    other = search_task_of(relay_test_softmax, 8, 32)
    model = GCNModel(settings=OnlineSettings(cold_steps=1))
    both = [one + two for one, two in zip(measured(task, states), measured(other, states_of(other)), strict=True)]
    model.update(*both)
    assert len(model.learner.measured) == 2
    assert (model.predict(task, states) > 0).all()


def test_stage_scores_are_packed_as_tvm_expects(task, states):
    packed = GCNModel(seed=1).predict_stages(task, states)
    np.testing.assert_array_equal(packed, [*GCNModel(seed=1).predict(task, states), *np.zeros(12)])


def test_saved_and_loaded_it_predicts_the_same_and_goes_on_learning(task, states, tmp_path):
    model = GCNModel(settings=QUICK, model_file=tmp_path / "model.npz")
    inputs, results = measured(task, states)
    model.update(inputs, results)  # writes model_file
    loaded = GCNModel(settings=OnlineSettings(steps=2))
    loaded.load(tmp_path / "model.npz")
    again = loaded.predict(task, states)
    assert np.array_equal(np.argsort(again), np.argsort(model.predict(task, states)))
    loaded.update(inputs, results)
    assert not np.array_equal(again, loaded.predict(task, states))
    target = json.loads(load_checkpoint(tmp_path / "model.npz").target)
    assert (target["kind"], target["mcpu"], target["keys"]) == ("llvm", "x86-64-v2", ["cpu"])


def test_it_learns_from_a_log(task, states, tmp_path):
    log = str(tmp_path / "records.json")
    auto_scheduler.save_records(log, *measured(task, states))
    model = GCNModel(settings=OnlineSettings(cold_steps=1))
    model.update_from_file(log, 10)
    assert model.learner.count == 10


def test_nothing_learned_cannot_be_saved(tmp_path):
    with pytest.raises(MemoptError, match="nothing to save"):
        GCNModel().save(tmp_path / "model.npz")
    assert not list(tmp_path.iterdir())


def test_a_network_for_other_processors_ends_the_search_with_one_line(task, states, tmp_path):
    model = GCNModel()
    model.load(saved_for({"kind": "llvm", "mtriple": "aarch64-linux-gnu"}, tmp_path / "arm.npz", task, states))
    with pytest.raises(MemoptError, match="processors of the family aarch64, expected x86_64"):
        model.predict(task, states)
    policy = auto_scheduler.SketchPolicy(task, model, params=SMALL, seed=1, verbose=0)
    with pytest.raises(MemoptError, match="was trained for"):
        task.tune(auto_scheduler.TuningOptions(2, verbose=0), search_policy=policy)


def test_a_target_that_is_no_processor_is_refused():
    gpu = "opencl -max_threads_per_block=64 -max_shared_memory_per_block=4096 -thread_warp_size=1"
    params = auto_scheduler.HardwareParams(1, 16, 64, 4096, 64, 64, 8, 1)
    target = tvm.target.Target(gpu, host=TRIPLE)
    task = auto_scheduler.SearchTask(func=relay_test_softmax, args=(8, 32), target=target, hardware_params=params)
    with pytest.raises(MemoptError, match="expected a CPU target"):
        GCNModel().predict(task, [])


def test_a_damaged_checkpoint_is_refused(tmp_path):
    (tmp_path / "model.npz").write_bytes(b"nothing")
    with pytest.raises(MemoptError, match="damaged"):
        GCNModel().load(tmp_path / "model.npz")
    with pytest.raises(MemoptError, match="damaged"), default_cost_model("gcn", checkpoint=tmp_path / "model.npz"):
        pass


def test_the_default_is_replaced_inside_and_restored_even_after_an_error(tmp_path):
    stock = auto_scheduler.XGBModel
    with default_cost_model("gcn", seed=3):
        for user in (search_task, task_scheduler):
            model = user.XGBModel(num_warmup_sample=4, model_file=str(tmp_path / "m.npz"), adaptive_training=True)
            assert isinstance(model, GCNModel)
            assert (model.seed, model.source, model.model_file) == (3, str(PRETRAINED), str(tmp_path / "m.npz"))
    assert search_task.XGBModel is task_scheduler.XGBModel is stock
    with pytest.raises(KeyError), default_cost_model("gcn"):
        raise KeyError
    assert search_task.XGBModel is task_scheduler.XGBModel is stock


def test_a_task_scheduler_that_names_no_model_gets_the_network(task):
    with default_cost_model("gcn"):
        made, whole = [], task_scheduler.XGBModel
        task_scheduler.XGBModel = lambda **options: made.append(whole(**options)) or made[-1]
        (policy,) = task_scheduler.make_search_policies("default", SMALL, [task], 4, 0)
    assert isinstance(policy, auto_scheduler.SketchPolicy)
    assert [type(model) for model in made] == [GCNModel]


def test_another_name_is_refused():
    with (
        pytest.raises(MemoptError, match="cost model 'xgb' is unknown: expected one of gcn"),
        default_cost_model("xgb"),
    ):
        pass


def test_the_default_starts_without_training_for_other_processors(task, states, tmp_path, monkeypatch, caplog):
    arm = saved_for({"kind": "llvm", "mtriple": "aarch64-linux-gnu"}, tmp_path / "arm.npz", task, states)
    monkeypatch.setattr(ours, "PRETRAINED", arm)
    with default_cost_model("gcn"):
        model = search_task.XGBModel()
    assert (model.predict(task, states) > 0).all()
    assert model.learner.trained is None
    assert "the search starts without training" in caplog.text


def test_a_search_by_default_tunes_and_its_records_are_right(task, tmp_path):
    log = str(tmp_path / "records.json")
    options = auto_scheduler.TuningOptions(
        8, num_measures_per_round=4, verbose=0, measure_callbacks=[auto_scheduler.RecordToFile(log)],
        builder=auto_scheduler.LocalBuilder(n_parallel=2, timeout=60),
        runner=auto_scheduler.LocalRunner(number=1, repeat=1, min_repeat_ms=5, timeout=60),
    )  # fmt: skip
    made = []
    with default_cost_model("gcn"):
        whole = search_task.XGBModel
        search_task.XGBModel = lambda **options: made.append(whole(**options)) or made[-1]
        policies = auto_scheduler.SketchPolicy
        search_task.SketchPolicy = lambda *args: policies(*args, params=SMALL, seed=1, verbose=0)
        try:
            task.tune(options)
        finally:
            search_task.SketchPolicy = policies
    records = list(auto_scheduler.load_records(log))
    assert [result.error_no for _, result in records] == [0] * 8
    assert (len(made), made[0].learner.count, made[0].failed) == (1, 4, 0)
    rng = np.random.default_rng(0)
    values = [rng.standard_normal([int(d) for d in t.shape]).astype("float32") for t in task.compute_dag.tensors]
    expected = output(task, task.compute_dag.init_state, values, " -opt-level=0")
    for record, _ in records:
        np.testing.assert_allclose(output(task, record.state, values), expected, rtol=1e-4, atol=1e-4)


def output(task, state, values, options=""):
    arrays = [tvm.nd.array(value) for value in (*values[:-1], np.full_like(values[-1], np.nan))]
    tvm.build(*task.compute_dag.apply_steps_from_state(state), host(options))(*arrays)
    return arrays[-1].numpy()

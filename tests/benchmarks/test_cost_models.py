import numpy as np
import pytest

pytest.importorskip("torch", reason="the networks need torch")
pytest.importorskip("xgboost", reason="trees are xgboost's")
pytest.importorskip("tvm", reason="features are those of TVM's modules")

import torch

from benchmarks.references.cost_models import BASELINES, predict_by_baseline
from benchmarks.references.neural_cost_models import lambda_rank_loss
from benchmarks.references.per_store import Stores, load_stores, per_store_rows
from tests.cost_model.made_up_data import collection, schedules
from tvm_memopt.cost_model.data.samples import load_samples, split_programs
from tvm_memopt.cost_model.measure.builds import host_target
from tvm_memopt.errors import MemoptError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    torch.set_num_threads(1)
    samples, _ = load_samples([collection(tmp_path_factory.mktemp("made_up") / "data")])
    rows = [
        row.astype(np.float32)
        for number in range(10)
        for row in per_store_rows(schedules(4 * (number + 1), 32, 8, 8), host_target(4))
    ]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return samples, Stores(np.concatenate(rows), starts), split_programs(samples.names)


@pytest.mark.parametrize("kind", BASELINES)
def test_each_baseline_ranks_what_it_was_trained_on(data, kind):
    samples, stores, split = data
    found = predict_by_baseline(kind, samples, stores, split, epochs=60)
    assert (found.seconds > 0).all()
    assert (found.speed > 0).all()
    for calibrated in (False, True):
        metrics = found.metrics(samples, samples.of_programs(split["train"]), calibrated)
        assert metrics.pairwise > 0.75
        assert np.isfinite(metrics.mean_error)


def test_lambda_rank_prefers_the_right_order():
    label = torch.tensor([1.0, 0.5, 0.1])
    right, wrong = (float(lambda_rank_loss(s, label)) for s in (torch.tensor([3.0, 1, -3]), torch.tensor([-3.0, 1, 3])))
    assert right < wrong


def test_rows_are_selected_with_their_candidates():
    stores = Stores(np.arange(12.0).reshape(6, 2), np.array([0, 1, 3, 6]))
    part = stores.select(np.array([2, 0]))
    assert part.rows[:, 0].tolist() == [6, 8, 10, 0]
    assert part.candidate.tolist() == [0, 0, 0, 1]


def test_a_shard_whose_database_is_gone_is_refused(tmp_path):
    folder = collection(tmp_path / "data", 1, 2)
    (folder / "product_0" / "database_workload.json").write_text("")
    (folder / "product_0" / "database_tuning_record.json").write_text("")
    with pytest.raises(MemoptError, match="2 candidates are not in the database"):
        load_stores([folder])

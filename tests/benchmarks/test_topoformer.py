import json
from pathlib import Path

import pytest

from benchmarks import tables, topoformer
from benchmarks.paired import sign_test, wilcoxon
from tests.solvers.order.learned.networks import random_checkpoint
from tvm_memopt.graph import layered_graph, write_graph
from tvm_memopt.solvers.order.learned import write_checkpoint


def test_the_sign_test_is_the_binomial_one():
    assert sign_test([-1.0, -2.0, -3.0, 0.0]) == (3, 0, 0.25)
    assert sign_test([-1.0, 1.0]) == (1, 1, 1.0)
    assert sign_test([]) == (0, 0, 1.0)


def test_the_signed_rank_test_agrees_with_its_tables():
    assert wilcoxon([]) == 1.0
    assert wilcoxon([1.0, -1.0]) == 1.0
    # scipy.stats.wilcoxon(..., method="approx", correction=True)
    assert wilcoxon([float(k) for k in range(1, 11)]) == pytest.approx(0.005922, abs=1e-5)
    assert wilcoxon([1, -2, 3, 4, 5, -6, 7, 8, 2, 2]) == pytest.approx(0.102023, abs=1e-5)


def test_the_benchmark_prints_its_tables_and_goes_on_where_it_was(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(topoformer, "RESULTS", tmp_path)
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    monkeypatch.setattr(topoformer, "learned_start", lambda *arguments: topoformer._within(0.1, *arguments[1:]))
    write_checkpoint(tmp_path / "checkpoint.npz", random_checkpoint())
    (tmp_path / "graphs").mkdir()
    write_graph(layered_graph(30, seed=1), tmp_path / "graphs" / "model.json")
    options = ["--layered", "40", "--graphs", "2", "--reference", "0.2", "--real", str(tmp_path / "graphs")]
    options += ["--checkpoint", str(tmp_path / "checkpoint.npz")]
    assert topoformer.main(options) == 0
    printed = capsys.readouterr().out
    assert "Topoformer 64" in printed
    assert "sign test p" in printed
    assert "model" in printed
    assert len(json.loads((tmp_path / "topoformer.json").read_text())["rows"]) == 3
    assert topoformer.main([*options, "--resume"]) == 0
    assert capsys.readouterr().out == printed


def test_the_ablation_trains_and_judges_each_variant(tmp_path: Path, monkeypatch, capsys):
    pytest.importorskip("torch", reason="training needs torch")
    from benchmarks import topoformer_ablation
    from tvm_memopt.solvers.order.learned import training_run

    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    monkeypatch.setattr(training_run, "training_graph", lambda index: layered_graph(20, seed=index))
    monkeypatch.setattr(training_run, "validation_graph", lambda index: layered_graph(20, seed=10 + index))
    options = ["--graphs", "2", "--validation", "1", "--imitation-steps", "1", "--steps", "1", "--effort", "0.1"]
    options += ["--layered", "20", "--held-out", "1", "--folder", str(tmp_path / "ablation")]
    assert topoformer_ablation.main(options) == 0
    printed = capsys.readouterr().out
    for name in ("full", "without transforms", "without encoding", "without imitation", "without state"):
        assert name in printed

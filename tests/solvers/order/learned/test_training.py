import json

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from tvm_memopt.errors import MemoptError  # noqa: E402
from tvm_memopt.graph import layered_graph, write_graph  # noqa: E402
from tvm_memopt.solvers.order.learned import read_checkpoint  # noqa: E402
from tvm_memopt.solvers.order.learned import training_run as module  # noqa: E402
from tvm_memopt.solvers.order.learned.config import ModelConfig  # noqa: E402
from tvm_memopt.solvers.order.learned.examples import (  # noqa: E402
    FIRST_TRAINING_SEED,
    FIRST_VALIDATION_SEED,
    SIZE_CYCLE,
)
from tvm_memopt.solvers.order.learned.training import TrainingOptions  # noqa: E402
from tvm_memopt.solvers.order.learned.training_run import TrainingGraphs, run_training  # noqa: E402

CONFIG = ModelConfig(width=16, layers=1, heads=1, head_width=4)
OPTIONS = TrainingOptions(imitation_steps=3, steps=3, batch=2, draws=4)


@pytest.fixture
def graphs(tmp_path, monkeypatch):
    """Small graphs of this test's own, so that no search for targets takes long."""
    files = []
    for seed in range(3):
        files.append(str(tmp_path / f"graph{seed}.json"))
        write_graph(layered_graph(30, seed=seed), files[-1])
    monkeypatch.setattr(module, "validation_graph", lambda index: layered_graph(30, seed=100 + index))
    monkeypatch.setattr(module, "_VALIDATE_EVERY", 2)
    torch.set_num_threads(1)
    return TrainingGraphs(layered=0, files=tuple(files), validation=2, effort=100.0)  # time enough to prove each


def test_the_same_seed_gives_the_same_checkpoint_and_another_seed_another(graphs, tmp_path):
    digests = [
        run_training(tmp_path / name, CONFIG, TrainingOptions(3, 3, 2, 4, seed=seed), graphs)["digest"]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_a_training_that_was_interrupted_goes_on_to_the_same_end(graphs, tmp_path):
    whole = run_training(tmp_path / "whole", CONFIG, OPTIONS, graphs)

    def press(stage, done, total):
        if stage == "policy gradient" and done == 5:
            raise KeyboardInterrupt

    part = run_training(tmp_path / "parts", CONFIG, OPTIONS, graphs, watch=press)
    assert part["interrupted"]
    assert part["step"] == 5 < whole["step"] == OPTIONS.all_steps
    rest = run_training(tmp_path / "parts", CONFIG, OPTIONS, graphs)
    assert rest["digest"] == whole["digest"]


def test_no_time_means_no_step(graphs, tmp_path):
    assert run_training(tmp_path / "out", CONFIG, OPTIONS, graphs, time_limit=0.0)["step"] == 0


def test_the_folder_gets_a_checkpoint_and_curves(graphs, tmp_path):
    result = run_training(tmp_path / "out", CONFIG, OPTIONS, graphs)
    assert read_checkpoint(result["checkpoint"]).digest == result["digest"]
    assert json.loads((tmp_path / "out" / "curves.json").read_text()) == result["curves"]
    lines = (tmp_path / "out" / "curves.csv").read_text().splitlines()
    assert lines[0] == "step,part,figure,greedy_gap_percent,sampled_gap_percent"
    assert len(lines) == 1 + len(result["curves"]) == 4


def test_a_state_that_is_damaged_or_another_trainings_is_one_clear_line(graphs, tmp_path):
    folder = tmp_path / "out"
    run_training(folder, CONFIG, OPTIONS, graphs)
    with pytest.raises(MemoptError, match="other options or graphs"):
        run_training(folder, CONFIG, TrainingOptions(3, 3, 2, 4, seed=9), graphs)
    (folder / "state.pt").write_bytes((folder / "state.pt").read_bytes()[:1000])
    with pytest.raises(MemoptError, match="training state is damaged"):
        run_training(folder, CONFIG, OPTIONS, graphs)


def test_training_and_validation_seeds_do_not_meet_those_of_benchmarks():
    benchmarks = range(1000)
    assert benchmarks.stop < FIRST_VALIDATION_SEED < FIRST_VALIDATION_SEED + 10_000 < FIRST_TRAINING_SEED
    assert set(SIZE_CYCLE) <= set(range(100, 1001))

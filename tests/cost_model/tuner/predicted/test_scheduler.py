"""Schedules by prediction for a small model, from the search to the compiled module."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tvm.relax")
import tvm
from tvm import relax

import tvm_memopt as mo
from tvm_memopt.cost_model.measure.builds import host_target
from tvm_memopt.cost_model.network.checkpoint import PRETRAINED
from tvm_memopt.cost_model.tuner.predicted import rounds, scheduler
from tvm_memopt.cost_model.tuner.predicted.choices import Choice, Found
from tvm_memopt.cost_model.tuner.predicted.scheduler import PredictedSchedules
from tvm_memopt.errors import MemoptError

TARGET = host_target(1)


def _model() -> tvm.IRModule:
    """A matrix product and its softmax."""
    rng = np.random.default_rng(0)
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((64, 96), "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            product = builder.emit(relax.op.matmul(x, relax.const(rng.standard_normal((96, 128)).astype("float32"))))
            output = builder.emit_output(relax.op.nn.softmax(relax.op.nn.relu(product)))
        builder.emit_func_output(output)
    return builder.get()


def _run(planned: tvm.IRModule) -> np.ndarray:
    x = np.random.default_rng(1).standard_normal((64, 96)).astype("float32")
    machine = relax.VirtualMachine(tvm.compile(planned, TARGET), tvm.cpu())
    return np.asarray(machine["main"](tvm.runtime.tensor(x)).numpy())


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty cache folder, shared by the tests of this module. Searches are short."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.setattr(rounds, "_LATER_ROUNDS", 0)
        yield folder


def test_outputs_agree_and_the_second_build_searches_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, _ = mo.optimize(_model(), TARGET)
    first, plan = mo.optimize(_model(), TARGET, schedules="predicted", schedule_seconds=120)
    assert any("for" in str(f) and f.attrs.get("tirx.is_scheduled") for f in first.functions.values())
    assert plan is not None
    wanted, got = _run(expected), _run(first)
    assert np.abs(got - wanted).max() <= 1e-4 * np.abs(wanted).max()

    def no_search(*_arguments: object) -> None:
        raise AssertionError("a search was started")

    monkeypatch.setattr(scheduler, "search_tasks", no_search)
    second, _ = mo.optimize(_model(), TARGET, schedules="predicted")
    assert np.array_equal(_run(second), got)


def test_without_time_and_cache_all_kernels_stay_as_they_are(tmp_path: Path) -> None:
    source = PredictedSchedules(0.0, cache_folder=tmp_path)
    with TARGET:
        assert source.database(tvm.IRModule(), TARGET) is None
    assert source.scheduled == 0


def test_the_bundled_network_says_for_which_processors_it_is(tmp_path: Path) -> None:
    said: list[str] = []
    target = tvm.target.Target({"kind": "llvm", "mtriple": "aarch64-linux-gnu"})
    assert PredictedSchedules(cache_folder=tmp_path, say=said.append).database(tvm.IRModule(), target) is None
    assert len(said) == 1
    assert "aarch64" in said[0]


def test_a_network_that_was_asked_for_must_fit(tmp_path: Path) -> None:
    source = PredictedSchedules(checkpoint=PRETRAINED, cache_folder=tmp_path)
    target = tvm.target.Target({"kind": "llvm", "mtriple": "aarch64-linux-gnu"})
    with pytest.raises(MemoptError, match="was trained for"):
        source.database(tvm.IRModule(), target)


def test_a_kernel_takes_its_fastest_schedule_with_so_little_scratch_then_none(tmp_path: Path) -> None:
    plain, lean = Choice(9.0, 50, None), Choice(3.0, 10, ["lean"])
    fast, medium = Choice(1.0, 90, ["fast"]), Choice(2.0, 40, ["medium"])
    source = PredictedSchedules(cache_folder=tmp_path)
    source.found = {"0_conv": Found(plain, (fast, medium, lean)), "1_add": Found(plain, (fast,))}
    assert [source.choice(name) for name in source.found] == [fast, fast]
    assert source.leaner({"conv": 60})
    assert [source.choice(name) for name in source.found] == [medium, fast]
    assert source.leaner({"conv": 60})  # that was not enough: the next one
    assert [source.choice(name) for name in source.found] == [lean, fast]
    assert source.leaner({"conv": 5})
    assert [source.choice(name) for name in source.found] == [plain, fast]
    assert source.leaner({"conv": 5})  # it has no schedule any more: all others give up theirs
    assert source.scheduled == 0
    assert not source.leaner({"conv": 5})

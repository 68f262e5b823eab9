"""Who is searched, how long and with what, played with worker processes that invent their answers."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tvm.tirx")
import tvm
from tvm import te

from tvm_memopt.cost_model.data.programs import Task
from tvm_memopt.cost_model.measure.builds import host_target
from tvm_memopt.cost_model.network.checkpoint import PRETRAINED
from tvm_memopt.cost_model.tuner.predicted import rounds
from tvm_memopt.cost_model.tuner.predicted.rounds import Searched, SearchOptions, search_tasks

TARGET = host_target(1)

_WORKER = """
import json, os, sys
log, behaviour = sys.argv[1:]
print(json.dumps({"ready": True}), flush=True)
calls = {}
for line in sys.stdin:
    request = json.loads(line)
    with open(log, "a") as file:
        file.write(line)
    name = os.path.basename(request["module"])
    if behaviour == "hangs" and name == "1.json":
        continue
    if behaviour == "fails":
        print(json.dumps({"error": "ValueError: no"}), flush=True)
        continue
    calls[name] = calls.get(name, 0) + 1
    seconds = 1e-3 / calls[name] if behaviour == "improves" else 1e-3
    choice = {"seconds": seconds, "scratch_nbytes": 0, "trace": [name]}
    found = {"unscheduled": {"seconds": 1.0, "scratch_nbytes": 0, "trace": None}, "choices": [choice]}
    print(json.dumps({"found": found, "starts": [["sketch", [[calls[name]]]]]}), flush=True)
"""


def _task(name: str, extent: int) -> Task:
    x = te.placeholder((extent,), name="x")
    function = te.create_prim_func([x, te.compute((extent,), lambda i: x[i] * 2, name="y")])
    return Task(name, tvm.IRModule({"main": function}), 1, "model", 1)


TASKS = [_task("0_heavy", 1 << 20), _task("1_light", 64)]


def _search(
    behaviour: str, folder: Path, monkeypatch: pytest.MonkeyPatch, seconds: float = 60.0
) -> tuple[Searched, list[dict[str, Any]], list[str]]:
    """The result, the requests in their order, and the names that were kept."""
    log = folder / "requests"
    monkeypatch.setattr(rounds, "COMMAND", (sys.executable, "-c", _WORKER, str(log), behaviour))
    kept: list[str] = []
    options = SearchOptions(seconds, 1, PRETRAINED)
    searched = search_tasks(TASKS, TARGET, options, lambda task, _found: kept.append(task.name))
    requests = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return searched, requests, kept


def _name(request: dict[str, Any]) -> str:
    return Path(request["module"]).stem


def test_all_kernels_are_searched_before_the_heavy_ones_are_searched_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched, requests, kept = _search("settles", tmp_path, monkeypatch)
    assert [_name(request) for request in requests] == ["0", "1", "0", "1"]  # both are predicted to take as long
    assert requests[0]["candidates"] > requests[1]["candidates"]
    assert requests[2]["candidates"] > requests[0]["candidates"]
    assert kept[:2] == ["0_heavy", "1_light"]
    assert set(searched.found) == {"0_heavy", "1_light"}


def test_a_kernel_is_searched_again_as_long_as_that_gains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched, requests, _ = _search("improves", tmp_path, monkeypatch)
    assert len(requests) > 4
    assert searched.found["0_heavy"].best().seconds < 1e-3


def test_decisions_are_handed_to_later_searches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, requests, _ = _search("settles", tmp_path, monkeypatch)
    assert requests[0]["starts"] == []
    assert requests[1]["starts"] == [["sketch", [[1]]]]
    assert requests[2]["starts"] == [["sketch", [[1]]], ["sketch", [[1]]]]


def test_the_time_limit_holds_though_a_search_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched, requests, _ = _search("hangs", tmp_path, monkeypatch, seconds=6.0)
    assert set(searched.found) == {"0_heavy"}
    assert all(request["seconds"] < 6.0 for request in requests)


def test_kernels_that_fail_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched, _, kept = _search("fails", tmp_path, monkeypatch)
    assert not searched.found
    assert not kept
    assert searched.causes["0_heavy"] == "ValueError: no"

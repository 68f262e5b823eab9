import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from tests.graph.simple_planner import simple_plan
from tests.graph.strategies import graphs, scheduled_graphs
from tests.graph.two_branches import TWO_BRANCHES
from tvm_memopt.errors import GraphError, MemoptError, PlanError
from tvm_memopt.graph import (
    Graph,
    graph_from_json,
    graph_to_json,
    plan_from_json,
    plan_to_json,
    read_graph,
    read_plan,
    write_graph,
    write_plan,
)

GRAPH = json.loads(graph_to_json(TWO_BRANCHES))
PLAN = json.loads(plan_to_json(simple_plan(TWO_BRANCHES)))
REMOVED = object()


def edited(document: Any, place: tuple[str | int, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(document))
    target = copy
    for key in place[:-1]:
        target = target[key]
    if value is REMOVED:
        del target[place[-1]]
    else:
        target[place[-1]] = value
    return copy


@given(graphs())
def test_a_graph_survives_the_round_trip(graph: Graph) -> None:
    assert graph_from_json(graph_to_json(graph)) == graph


@given(scheduled_graphs())
def test_a_plan_survives_the_round_trip(case: tuple[Graph, tuple[int, ...]]) -> None:
    plan = simple_plan(*case)
    assert plan_from_json(plan_to_json(plan)) == plan


def test_files_survive_the_round_trip(tmp_path: Path) -> None:
    write_graph(TWO_BRANCHES, tmp_path / "graph.json")
    write_plan(simple_plan(TWO_BRANCHES), tmp_path / "plan.json")
    assert read_graph(tmp_path / "graph.json") == TWO_BRANCHES
    assert read_plan(tmp_path / "plan.json") == simple_plan(TWO_BRANCHES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["graph.json", "plan.json"]


def test_unknown_keys_are_ignored() -> None:
    document = edited(edited(GRAPH, ("source",), "elsewhere"), ("tensors", 0, "shape"), [4, 4])
    assert graph_from_json(json.dumps(edited(document, ("ops", 1, "note"), None))) == TWO_BRANCHES
    assert plan_from_json(json.dumps(edited(PLAN, ("note",), 1))) == simple_plan(TWO_BRANCHES)


def test_optional_keys_have_the_defaults_of_the_format() -> None:
    tensors = [{"name": "x", "nbytes": 4, "kind": "input"}, {"name": "y", "nbytes": 8, "kind": "activation"}]
    op = {"name": "f", "inputs": [0], "outputs": [1], "cost": 1}
    graph = graph_from_json(
        json.dumps({"format": "memopt-graph/1", "name": "g", "tensors": tensors, "ops": [op], "outputs": []})
    )
    assert graph.alignment == 1
    assert [tensor.arena for tensor in graph.tensors] == [False, True]
    assert [tensor.alias_of for tensor in graph.tensors] == [None, None]
    assert (graph.ops[0].workspace, graph.ops[0].recomputable, graph.ops[0].inplace) == (0, True, ())


GRAPH_FAULTS: dict[str, tuple[tuple[str | int, ...], Any, str]] = {
    "missing format": (("format",), REMOVED, "missing required key 'format'"),
    "plan format": (("format",), "memopt-plan/1", "key 'format': expected 'memopt-graph/1', found 'memopt-plan/1'"),
    "missing tensors": (("tensors",), REMOVED, "missing required key 'tensors'"),
    "missing size": (("tensors", 2, "nbytes"), REMOVED, "missing required key 'tensors[2].nbytes'"),
    "missing cost": (("ops", 1, "cost"), REMOVED, "missing required key 'ops[1].cost'"),
    "missing outputs": (("outputs",), REMOVED, "missing required key 'outputs'"),
    "name not text": (("name",), 5, "key 'name': expected a string, found 5"),
    "size is text": (("tensors", 0, "nbytes"), "64", "key 'tensors[0].nbytes': expected an integer, found \"64\""),
    "size is true": (("tensors", 0, "nbytes"), True, "key 'tensors[0].nbytes': expected an integer, found true"),
    "size is a fraction": (("tensors", 0, "nbytes"), 1.5, "key 'tensors[0].nbytes': expected an integer, found 1.5"),
    "negative size": (("tensors", 3, "nbytes"), -1, "key 'tensors[3].nbytes': expected an integer >= 0, found -1"),
    "unknown kind": (("tensors", 0, "kind"), "scratch", "key 'tensors[0].kind': expected one of input, weight"),
    "arena is a number": (("tensors", 0, "arena"), 1, "key 'tensors[0].arena': expected true or false, found 1"),
    "alias is text": (("tensors", 1, "alias_of"), "0", "key 'tensors[1].alias_of': expected an integer or null"),
    "tensors not a list": (("tensors",), {}, "key 'tensors': expected a list of objects, found {}"),
    "tensor not an object": (("tensors", 1), 7, "tensors[1]: expected a JSON object, found 7"),
    "inputs not a list": (("ops", 0, "inputs"), 0, "key 'ops[0].inputs': expected a list of integers, found 0"),
    "inputs of text": (("ops", 1, "inputs"), ["a"], "key 'ops[1].inputs': expected a list of integers"),
    "pair of four": (("ops", 1, "inplace"), [[0, 1, 2, 3]], "key 'ops[1].inplace': expected a list of [input tensor,"),
    "cost is text": (("ops", 2, "cost"), "fast", "key 'ops[2].cost': expected a finite number, found \"fast\""),
    "cost not a number": (("ops", 2, "cost"), float("nan"), "key 'ops[2].cost': expected a finite number, found NaN"),
    "endless cost": (("ops", 2, "cost"), 10**400, "key 'ops[2].cost': expected a finite number"),
    "negative workspace": (("ops", 2, "workspace"), -8, "ops[2] (reduce): workspace is -8"),
    "cycle": (("ops", 0, "inputs"), [4], "ops[0] (stem): reads what ops[4] (join) produces later"),
    "unknown tensor": (("ops", 4, "inputs"), [2, 9], "ops[4] (join): inputs names tensor 9"),
}


@pytest.mark.parametrize("fault", GRAPH_FAULTS)
def test_a_bad_graph_file_is_one_line_with_file_and_key(fault: str, tmp_path: Path) -> None:
    place, value, message = GRAPH_FAULTS[fault]
    path = tmp_path / "net.json"
    path.write_text(json.dumps(edited(GRAPH, place, value)), encoding="utf-8")
    with pytest.raises(GraphError) as caught:
        read_graph(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


PLAN_FAULTS: dict[str, tuple[tuple[str | int, ...], Any, str]] = {
    "graph format": (("format",), "memopt-graph/1", "key 'format': expected 'memopt-plan/1'"),
    "missing schedule": (("schedule",), REMOVED, "missing required key 'schedule'"),
    "missing offset": (("allocations", 1, "offset"), REMOVED, "missing required key 'allocations[1].offset'"),
    "offset is text": (("allocations", 0, "offset"), "0", "key 'allocations[0].offset': expected an integer"),
    "unknown status": (("status",), "great", "key 'status': expected one of optimal, feasible, infeasible, unknown"),
    "solver not an object": (("solver",), "mine", "key 'solver': expected an object, found \"mine\""),
    "bound is text": (("lower_bound_nbytes",), "0", "key 'lower_bound_nbytes': expected an integer or null"),
    "cost not finite": (("cost",), float("inf"), "key 'cost': expected a finite number, found Infinity"),
    "missing budget": (("budget_nbytes",), REMOVED, "missing required key 'budget_nbytes'"),
}


@pytest.mark.parametrize("fault", PLAN_FAULTS)
def test_a_bad_plan_file_is_one_line_with_file_and_key(fault: str, tmp_path: Path) -> None:
    place, value, message = PLAN_FAULTS[fault]
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(edited(PLAN, place, value)), encoding="utf-8")
    with pytest.raises(PlanError) as caught:
        read_plan(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert caught.value.violations == ()


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff\xfe", b'{"format": "memopt-graph/1"', b"[" * 100_000])
def test_a_file_that_is_no_json_object_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_bytes(content)
    with pytest.raises(GraphError, match=r"net\.json: "):
        read_graph(path)
    with pytest.raises(PlanError, match=r"net\.json: "):
        read_plan(path)


def test_every_truncation_of_a_file_is_refused() -> None:
    text = graph_to_json(TWO_BRANCHES).rstrip()
    for length in range(0, len(text), 7):
        with pytest.raises(GraphError, match=r"^net\.json: not valid JSON: "):
            graph_from_json(text[:length], "net.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=r"nowhere\.json: cannot be read: .*No such file"):
        read_graph(tmp_path / "nowhere.json")
    with pytest.raises(PlanError, match=r"cannot be read"):
        read_plan(tmp_path)


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["os.replace", "os.fsync", "tempfile.mkstemp"])
@pytest.mark.parametrize("before", [None, "older content"])
def test_a_full_disk_leaves_nothing_behind(
    call: str, before: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "graph.json"
    if before is not None:
        path.write_text(before, encoding="utf-8")
    monkeypatch.setattr(call, full_disk)
    with pytest.raises(MemoptError, match=r"graph\.json: cannot be written: No space left on device"):
        write_graph(TWO_BRANCHES, path)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ([] if before is None else ["graph.json"])
    assert before is None or path.read_text(encoding="utf-8") == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the /dev/full device")
def test_a_disk_that_fills_up_while_writing_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_file = Path.open
    monkeypatch.setattr(Path, "open", lambda _, *args, **kwargs: open_file(Path("/dev/full"), *args, **kwargs))
    with pytest.raises(MemoptError, match="No space left on device"):
        write_plan(simple_plan(TWO_BRANCHES), tmp_path / "plan.json")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(MemoptError, match=r"missing/graph\.json: cannot be written"):
        write_graph(TWO_BRANCHES, tmp_path / "missing" / "graph.json")

"""The benchmark of rematerialisation: its pure parts, and one short run of the whole."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks import remat, remat_figures, remat_rivals, remat_small, tables, torch_partitions
from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import Graph, Op, Tensor, given_order, lifetimes, peak_live
from tvm_memopt.solvers.remat.result import RematResult

CURVE = [[0.5, 8.0], [2.0, 4.2], [9.0, 4.0]]


def run(value: float | None, curve: Any = (), **more: Any) -> dict[str, Any]:
    status = "unknown" if value is None else "feasible"
    return {"tdi": value, "status": status, "seconds": 10.0, "bound": 0.0, "peak": 5, "curve": list(curve), **more}


def row(name: str, percent: float, ops: int, **runs: list[dict[str, Any]]) -> dict[str, Any]:
    methods = {method.replace("_", "-"): {"runs": found} for method, found in runs.items()}
    return {"graph": name, "percent": percent, "ops": ops, "budget": 90, "given_peak": 100, "methods": methods}


def test_times_are_read_off_the_curve() -> None:
    assert remat_figures.seconds_to(CURVE, 5.0) == 2.0
    assert remat_figures.seconds_to(CURVE, 3.9) is None
    assert remat_figures.seconds_to_final(CURVE) == 9.0
    assert remat_figures.seconds_to_final(CURVE, 1.1) == 2.0
    assert remat_figures.seconds_to_final([]) is None


def test_median_run_counts_a_miss_as_worst() -> None:
    assert remat_figures.median_run([run(None), run(3.0), run(1.0)])["tdi"] == 3.0
    assert remat_figures.median_run([run(None), run(None), run(1.0)])["tdi"] is None
    assert remat_figures.median_seconds([None, 4.0, 2.0]) == 4.0
    assert remat_figures.median_seconds([None, None, 2.0]) is None
    assert remat_figures.median_seconds([]) is None


def test_ratio_takes_our_median_and_the_quickest_rival() -> None:
    ours = [[[0.1, 1.0]], [[0.2, 1.0]], [[0.4, 1.0]]]
    assert remat_figures.speed_up(ours, [[[8.0, 1.0]], [[4.0, 2.0]]], 2.0, 60.0) == (20.0, True)
    assert remat_figures.speed_up(ours, [[[8.0, 3.0]], []], 2.0, 60.0) == (300.0, False)
    assert remat_figures.speed_up(ours, [[[8.0, 0.5]]], 0.5, 60.0) is None


def test_ratio_where_moccasin_found_nothing_is_a_lower_bound_to_our_first_schedule() -> None:
    found = remat_figures.ratios(row("G4", 70, 1000, ours=[run(7.0, [[2.0, 7.0]])], moccasin=[run(None)]), 60.0)
    assert found == {"published": None, "own": (30.0, False)}


def test_published_target_allows_for_its_one_digit() -> None:
    both = row("CM2", 90, 353, ours=[run(0.1, [[1.0, 0.24]])], moccasin_authors=[run(0.2, [[30.0, 0.24]])])
    assert remat_figures.ratios(both, 60.0)["published"] == (30.0, True)


def test_mean_ratio_leaves_out_small_graphs() -> None:
    def of(name: str, ops: int, seconds: float) -> dict[str, Any]:
        return row(name, 90, ops, ours=[run(0.1, [[1.0, 0.1]])], moccasin=[run(0.1, [[seconds, 0.1]])])

    mean, count, bounds = remat_figures.mean_ratio(
        [of("G2", 250, 4.0), of("G3", 500, 9.0), of("G1", 100, 50)], "own", 60
    )
    assert (round(mean, 9), count, bounds) == (6.0, 2, 0)
    assert math.isnan(remat_figures.mean_ratio([], "own", 60)[0])


def test_table_says_what_is_proved_missing_and_a_lower_bound() -> None:
    document = {
        "seconds": 60,
        "threads": 2,
        "seeds": 3,
        "rows": {
            "G2 90": row(
                "G2",
                90,
                250,
                ours=[{**run(0.0, [[0.5, 0.0]]), "status": "optimal"}, run(None), run(0.5, [[1.0, 0.5]])],
                moccasin=[run(None)],
                checkmate=[{**run(None), "status": "infeasible"}],
            )
        },
    }
    line = next(text for text in remat.render(document).splitlines() if text.startswith("| ") and " G2 |" in text)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:7] == ["G2", "250", "90", "0.500", "0.000", "-", "0.000"]
    assert cells[9:11] == ["none (10 s)", "proved impossible (10 s)"]
    assert cells[11:] == ["0.900", "0.000", "0.000", ">60.0", ">60.0"]


def exact(status: Any, cost: float, scope: str = "every schedule") -> RematResult:
    return RematResult((), cost, 0, status, 90.0, scope)


@pytest.mark.parametrize(
    ("cost", "answer", "expected"),
    [
        (110.0, exact("optimal", 110.0), ("equal", 0.0)),
        (110.0, exact("optimal", 110.0, "at most 3 runs an op"), ("close", 0.0)),
        (110.0, exact("feasible", 100.0), ("beaten", pytest.approx(10.0))),
        (99.0, exact("feasible", 99.0), ("open", pytest.approx(10.0))),
        (None, exact("feasible", 99.0), ("missed", None)),
        (None, exact("infeasible", 99.0), ("impossible", None)),
        (None, exact("unknown", 99.0), ("open", None)),
    ],
)
def test_small_graphs_are_judged_by_what_is_proved(cost: float | None, answer: RematResult, expected: Any) -> None:
    assert remat_small.judge(cost, answer) == expected


def test_an_exact_answer_worse_than_its_hint_ends_the_benchmark() -> None:
    with pytest.raises(SystemExit, match="worse than its hint"):
        remat_small.judge(100.0, exact("optimal", 101.0))


def test_small_case_is_measured_against_a_known_optimum() -> None:
    """a -> b -> c -> d, and a again at d: keeping a is over the budget, so it runs twice."""
    sizes = (4, 4, 4, 1)
    tensors = tuple(Tensor(f"t{i}", nbytes) for i, nbytes in enumerate(sizes))
    reads: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (2, 0))
    ops = tuple(Op(f"op{i}", inputs, (i,), cost=10.0) for i, inputs in enumerate(reads))
    graph = Graph("again", tensors, ops)
    options = argparse.Namespace(seconds=1.0, exact_seconds=5.0, threads=1, planner=False)
    assert peak_live(graph, given_order(graph)) == 12
    found = remat_small.measure(graph, 9, options)
    assert (found["outcome"], found["tdi"]) == ("equal", pytest.approx(25.0))


def test_cases_call_for_repeats_and_repeat_themselves() -> None:
    def first(count: int) -> list[tuple[str, str, int]]:
        drawn = remat_small.cases()
        return [(family, graph.name, budget) for family, graph, _, budget in (next(drawn) for _ in range(count))]

    assert first(4) == first(4)
    assert {family for family, _, _ in first(4)} == {"random", "layered"}


def test_run_keeps_its_figures_and_resumes_from_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ortools", reason="MOCCASIN runs on OR-tools")
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    monkeypatch.setattr(remat, "RESULTS", tmp_path)
    call = ["VGG16-train", "--budgets", "95", "70", "--seconds", "0.5", "--threads", "1", "--seeds", "1"]
    call += ["--rivals", "moccasin"]
    assert remat.main(call) == 0
    printed = capsys.readouterr().out
    assert "proved impossible" in printed
    rows = json.loads((tmp_path / "remat.json").read_text())["rows"]
    ours, theirs = (rows["VGG16-train 95"]["methods"][name]["runs"][0] for name in ("ours", "moccasin"))
    assert 0 < ours["tdi"] <= theirs["tdi"]
    monkeypatch.setattr(remat_rivals, "search_remat", None)  # nothing is run again
    assert remat.main([*call, "--resume"]) == 0
    assert capsys.readouterr().out == printed
    with pytest.raises(SystemExit, match="expected"):
        remat.main([*call[:-2], "--resume", "--seconds", "1"])


def test_anytime_plot_has_a_panel_for_each_row(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    from benchmarks.remat_plot import write_anytime

    rows = {
        "G1 90": row("G1", 90, 100, ours=[run(0.0, [[0.1, 0.0]])], moccasin=[run(0.8, [[2.0, 3.0], [9.0, 0.8]])]),
        "CM1 80": row("CM1", 80, 73, ours=[run(0.1, [[0.1, 0.1]])], checkmate=[run(None)]),
    }
    write_anytime({"seconds": 60, "rows": rows}, tmp_path / "curves.svg")
    drawn = (tmp_path / "curves.svg").read_text()
    assert all(text in drawn for text in ("G1, 90 %", "CM1, 80 %", "Checkmate: no plan", "MOCCASIN, published"))
    with pytest.raises(MemoptError):
        write_anytime({"seconds": 60, "rows": rows}, tmp_path / "curves.pdf")


def test_partitions_of_a_published_graph_are_schedules_of_it() -> None:
    pytest.importorskip("torch", reason="the partitioner is torch's")
    pytest.importorskip("networkx", reason="the partitioner cuts with networkx")
    joint = torch_partitions.abstract("VGG16-train")
    everything, half, nothing = (torch_partitions.partition(joint, knob) for knob in (1.0, 0.5, 0.0))
    count = len(joint.graph.ops)
    for plan in (everything, half, nothing):
        lifetimes(joint.graph, plan["schedule"])  # raises where an op reads what does not exist
        assert set(plan["schedule"]) == set(range(count))
    assert nothing["saved_nbytes"] == 0 < half["saved_nbytes"] < everything["saved_nbytes"]
    assert len(nothing["schedule"]) > len(half["schedule"]) > len(everything["schedule"]) >= count


def test_graph_without_a_backward_pass_is_not_partitioned() -> None:
    pytest.importorskip("torch", reason="the partitioner is torch's")
    with pytest.raises(MemoptError, match="no backward pass"):
        torch_partitions.abstract("G1")


def test_traced_model_has_views_as_aliases_and_gradients_as_outputs() -> None:
    pytest.importorskip("torch", reason="torch traces the model")
    joint = torch_partitions.traced("torch-conv")
    graph = joint.graph
    views = [op for op in graph.ops if all(graph.tensors[t].alias_of is not None for t in op.outputs)]
    assert views
    assert all(op.cost == 0 for op in views)
    weights = [t for t in graph.tensors if t.kind == "weight"]
    gradients = [graph.tensors[graph.root[t]].nbytes for t in graph.outputs[1:]]
    assert sorted(gradients) == sorted(t.nbytes for t in weights if t.nbytes != 4 * 3 * 64 * 64 * 4)
    convolution = next(op for op in graph.ops if op.name == "convolution")
    assert convolution.cost == 2 * 4 * 16 * 64 * 64 * 3 * 9

import json

import pytest

from tests.cli.running import PREFIX
from tvm_memopt.graph import given_order, parse_budget, peak_live, read_graph


def test_a_sweep_prints_writes_and_draws_one_plan_for_each_budget(command, made, tmp_path):
    pytest.importorskip("matplotlib", reason="curves are drawn with matplotlib")
    graph = read_graph(made / "graph.json")
    files = tmp_path / "curve.json", tmp_path / "curve.svg"
    options = ["--budgets", "100%, 80%", "-o", files[0], "--plot", files[1], "--time-limit", "1"]
    result = command("sweep", made / "graph.json", *options)
    assert (result.status, result.err) == (0, "")
    document = json.loads(files[0].read_text())
    assert document["given_order_peak_nbytes"] == peak_live(graph, given_order(graph))
    assert [p["budget_nbytes"] for p in document["points"]] == [parse_budget(b, graph) for b in ("100%", "80%")]
    for point in document["points"]:
        assert point["arena_nbytes"] <= point["budget_nbytes"]
        assert f"{point['arena_nbytes']:,}" in result.out
        assert sorted(set(point["schedule"])) == list(range(len(graph.ops)))
    assert "<svg" in files[1].read_text()


def test_json_is_all_that_stdout_holds(command, made):
    result = command("sweep", made / "graph.json", "--budgets", "100%", "--json", "--time-limit", "1")
    assert json.loads(result.out)["graph"] == "five-buffers"


@pytest.mark.parametrize("budgets", ["", ",", "-5", "0%", "80%,many", "1.5B"])
def test_nonsense_budgets_are_one_line_and_status_2(command, made, tmp_path, budgets):
    result = command("sweep", made / "graph.json", "--budgets", budgets, "-o", tmp_path / "curve.json")
    assert result.status == 2
    assert result.err.startswith(PREFIX)
    assert result.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_no_budget_within_reach_is_status_4_with_the_curve_kept(command, made, tmp_path):
    result = command("sweep", made / "graph.json", "--budgets", "80,90", "-o", tmp_path / "curve.json")
    assert result.status == 4
    assert [p["status"] for p in json.loads((tmp_path / "curve.json").read_text())["points"]] == ["infeasible"] * 2


def test_a_plot_of_another_kind_is_refused_before_the_search(command, made, tmp_path):
    result = command("sweep", made / "graph.json", "--plot", tmp_path / "curve.pdf", "--time-limit", "1000")
    assert result.status == 2
    assert ".svg" in result.err

import json
from contextlib import contextmanager
from dataclasses import replace

import pytest

import tvm_memopt.solvers
from tests.cli.running import PREFIX
from tvm_memopt.graph import check, given_order, parse_budget, peak_live, read_graph, read_plan, working_set_bound


def test_a_graph_file_becomes_a_valid_plan(command, made, tmp_path):
    result = command("plan", made / "graph.json", "-o", tmp_path / "plan.json")
    assert (result.status, result.err) == (0, "")
    graph, plan = read_graph(made / "graph.json"), read_plan(tmp_path / "plan.json")
    check(graph, plan)
    assert plan.arena_nbytes < peak_live(graph, given_order(graph))
    assert f"arena {plan.arena_nbytes:,} bytes" in result.out
    assert plan.status in result.out


def test_a_model_becomes_a_valid_plan(command, made, tmp_path):
    command("graph", made / "model.onnx", "-o", tmp_path / "graph.json")
    result = command("plan", made / "model.onnx", "-o", tmp_path / "plan.json")
    assert (result.status, result.err) == (0, "")
    check(read_graph(tmp_path / "graph.json"), read_plan(tmp_path / "plan.json"))


def test_json_is_all_that_stdout_holds(command, made, tmp_path):
    figures = json.loads(command("plan", made / "graph.json", "-o", tmp_path / "plan.json", "--json").out)
    plan = read_plan(tmp_path / "plan.json")
    for key in ("arena_nbytes", "peak_live_nbytes", "lower_bound_nbytes", "budget_nbytes", "cost", "status"):
        assert figures[key] == getattr(plan, key), key
    assert figures["graph"] == "five-buffers"
    assert figures["steps"] == len(plan.schedule)


@pytest.mark.parametrize("budget", ["80%", "200KiB", "204800", "0.25MiB"])
def test_a_budget_within_reach_is_kept(command, made, tmp_path, budget):
    assert command("plan", made / "graph.json", "-o", tmp_path / "plan.json", "--budget", budget).status == 0
    graph, plan = read_graph(made / "graph.json"), read_plan(tmp_path / "plan.json")
    assert plan.budget_nbytes == parse_budget(budget, graph)
    assert plan.arena_nbytes <= plan.budget_nbytes


def test_a_budget_below_a_working_set_is_infeasible_and_names_the_op(command, made, tmp_path):
    result = command("plan", made / "graph.json", "-o", tmp_path / "plan.json", "--budget", "80")
    graph = read_graph(made / "graph.json")
    bound, op = working_set_bound(graph)
    assert result.status == 3
    assert result.err.startswith(PREFIX)
    assert len(result.err.splitlines()) == 1
    assert graph.ops[op].name in result.err
    assert f"{bound} bytes" in result.err
    assert "80 bytes" in result.err
    assert read_plan(tmp_path / "plan.json").status == "infeasible"


def test_a_budget_that_no_plan_was_found_for_is_another_matter(command, made, tmp_path, monkeypatch):
    real = tvm_memopt.solvers.solve
    monkeypatch.setattr(tvm_memopt.solvers, "solve", lambda *given: replace(real(*given), status="unknown"))
    result = command("plan", made / "graph.json", "-o", tmp_path / "plan.json", "--budget", "165KiB")
    plan = read_plan(tmp_path / "plan.json")
    assert result.status == 4
    assert len(result.err.splitlines()) == 1
    assert f"{165 * 1024} bytes" in result.err
    assert f"{plan.arena_nbytes} bytes" in result.err
    assert plan.status == "unknown"


def test_an_interrupted_search_writes_the_best_plan_so_far(command, made, tmp_path, monkeypatch):
    @contextmanager
    def pressed_after_the_given_order():
        def progress(news):
            if news.arena_nbytes is not None:
                raise KeyboardInterrupt

        yield progress

    monkeypatch.setattr("tvm_memopt.cli.plan.search_progress", pressed_after_the_given_order)
    result = command("plan", made / "graph.json", "-o", tmp_path / "plan.json")
    graph, plan = read_graph(made / "graph.json"), read_plan(tmp_path / "plan.json")
    assert result.status == 0
    assert result.err == "interrupted: this is the best plan so far\n"
    check(graph, plan)
    assert plan.solver["interrupted"] is True


def test_an_interrupt_elsewhere_leaves_nothing(command, made, tmp_path, monkeypatch):
    def pressed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("tvm_memopt.cli.plan.write_plan", pressed)
    result = command("plan", made / "graph.json", "-o", tmp_path / "plan.json")
    assert (result.status, result.out) == (130, "")
    assert result.err.strip() == f"{PREFIX}interrupted"  # click ends the line of ^C first
    assert not any(tmp_path.iterdir())


def test_the_same_seed_gives_the_same_plan(command, made, tmp_path):
    for name in ("first.json", "second.json"):
        command("plan", made / "graph.json", "-o", tmp_path / name, "--seed", "7", "--threads", "1")
    first, second = (read_plan(tmp_path / name) for name in ("first.json", "second.json"))
    assert (first.schedule, first.allocations) == (second.schedule, second.allocations)


def test_options_for_models_are_said_to_change_nothing_for_a_graph(command, made, tmp_path):
    result = command("plan", made / "graph.json", "-o", tmp_path / "p.json", "--shape", "x=1", "--no-inplace")
    assert result.status == 0
    assert result.err.splitlines() == [
        f"{made / 'graph.json'}: is a graph already: --shape, --no-inplace have no effect"
    ]

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.graph.planted import GRAPH, PLAN, PLANTED, SCHEDULE, document, with_totals
from tests.graph.simple_planner import simple_plan
from tests.graph.simulator import runs_correctly
from tests.graph.strategies import SEEDS, scheduled_graphs
from tests.graph.two_branches import TWO_BRANCHES
from tvm_memopt.errors import PlanError
from tvm_memopt.graph import (
    Allocation,
    Graph,
    Plan,
    check,
    find_violations,
    layered_graph,
    plan_from_json,
    read_plan,
    working_set_bound,
    write_plan,
)

TOTALS = {"wrong-arena", "wrong-peak", "wrong-cost"}


def test_the_plan_to_be_spoiled_is_valid_and_uses_every_feature() -> None:
    assert find_violations(GRAPH, PLAN) == []
    assert runs_correctly(GRAPH, PLAN)
    assert len(SCHEDULE) > len(GRAPH.ops)
    places = [(a.tensor, a.offset) for a in PLAN.allocations]
    assert len({offset for _, offset in places}) < len(places)  # in-place pairs share


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_violation_is_caught_and_named(name: str) -> None:
    spoil, rule, step = PLANTED[name]
    plan = document()
    spoil(plan)
    found = find_violations(GRAPH, plan_from_json(json.dumps(plan)))
    assert (rule, step) in [(v.rule, v.step) for v in found]


FORGED = sorted(name for name, (_, rule, _) in PLANTED.items() if rule not in TOTALS)


@pytest.mark.parametrize("name", FORGED)
def test_totals_made_to_agree_do_not_hide_a_violation(name: str) -> None:
    spoil, rule, _ = PLANTED[name]
    plan = document()
    spoil(plan)
    with_totals(plan)
    rules = {v.rule for v in find_violations(GRAPH, plan_from_json(json.dumps(plan)))}
    assert rule in rules
    assert not {"wrong-arena", "wrong-cost"} & rules


def test_more_than_twenty_rules_and_kinds_are_planted() -> None:
    assert len(PLANTED) > 20
    assert len({rule for _, rule, _ in PLANTED.values()}) > 20


@pytest.mark.parametrize(
    ("name", "nbytes", "op"),
    [
        ("two live buffers at one place", 48, 3),
        ("two live buffers that touch by some bytes", 16, 3),
        ("output without a place", 64, 3),
        ("workspace left out", 32, 0),
        ("life cut short", 128, 4),
        ("dead output kept", 64, 3),
    ],
)
def test_a_violation_says_how_many_bytes_and_which_op(name: str, nbytes: int, op: int) -> None:
    spoil, rule, step = PLANTED[name]
    plan = document()
    spoil(plan)
    found = find_violations(GRAPH, plan_from_json(json.dumps(plan)))
    assert (rule, step, op, nbytes) in [(v.rule, v.step, v.op, v.nbytes) for v in found]


@pytest.mark.parametrize(
    "name",
    [
        "another graph's plan",
        "looser alignment",
        "negative offset",
        "buffer too small",
        "output without a place",
        "workspace left out",
        "workspace that no op asks for",
        "workspace placed twice",
        "life cut short",
        "life of an input cut short",
        "two live buffers at one place",
        "workspace over an output",
        "in-place over a returned tensor",
        "over the budget",
    ],
)
def test_a_single_fault_is_reported_alone(name: str) -> None:
    spoil, rule, _ = PLANTED[name]
    plan = document()
    spoil(plan)
    with_totals(plan)
    assert [v.rule for v in find_violations(GRAPH, plan_from_json(json.dumps(plan)))] == [rule]


def test_all_violations_are_listed_and_the_first_is_in_the_message() -> None:
    plan = replace(PLAN, graph="other", base_cost=0.0, arena_nbytes=1)
    with pytest.raises(PlanError, match=r"^plan for graph 'other' is not valid: \[wrong-graph\] .*2 more\)$") as error:
        check(GRAPH, plan)
    assert [v.rule for v in error.value.violations] == ["wrong-graph", "wrong-arena", "wrong-cost"]


def test_a_plan_file_edited_by_hand_is_caught(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    write_plan(PLAN, path)
    check(GRAPH, read_plan(path))
    text = path.read_text(encoding="utf-8")
    (row,) = (line for line in text.splitlines() if '"tensor": 5,' in line)
    path.write_text(text.replace(row, row.replace('"last": 7', '"last": 5')), encoding="utf-8")
    with pytest.raises(PlanError, match=r"\[not-live\] step 7, op 4: reads tensor 5 \(c\), .* only to step 5"):
        check(GRAPH, read_plan(path))


def test_a_life_longer_than_needed_is_allowed_if_someone_reads_it() -> None:
    plan = simple_plan(TWO_BRANCHES)
    longer = tuple(replace(a, last=4) for a in plan.allocations)
    peak = sum(a.nbytes for a in longer)
    check(TWO_BRANCHES, replace(plan, allocations=longer, peak_live_nbytes=peak))


def test_a_proved_optimum_passes() -> None:
    schedule = (0, 1, 2, 0, 3, 4)
    plan = simple_plan(TWO_BRANCHES, schedule)
    arena, placed = 0, []
    for a in plan.allocations:  # by hand: stem and expand side by side, the rest over the first of them
        offset = {(0, 0): 0, (1, 1): 64, (2, 2): 0, (0, 3): 64, (3, 4): 16, (4, 5): 32}[a.tensor or 0, a.first] * 1024
        placed.append(replace(a, offset=offset))
        arena = max(arena, offset + a.nbytes)
    bound = working_set_bound(TWO_BRANCHES)[0]
    plan = replace(plan, allocations=tuple(placed), arena_nbytes=arena, lower_bound_nbytes=bound, status="optimal")
    check(TWO_BRANCHES, plan)
    assert arena == bound


def test_an_empty_graph_has_an_empty_plan() -> None:
    graph = Graph("empty", (), ())
    assert simple_plan(graph).allocations == ()
    check(graph, simple_plan(graph))


@given(scheduled_graphs(), st.booleans())
def test_valid_plans_of_random_graphs_pass(case: tuple[Graph, tuple[int, ...]], inplace: bool) -> None:
    plan = simple_plan(*case, inplace=inplace)
    assert find_violations(case[0], plan) == []
    assert runs_correctly(case[0], plan)


@given(scheduled_graphs(), SEEDS)
def test_a_tight_life_cannot_be_shortened(case: tuple[Graph, tuple[int, ...]], seed: int) -> None:
    graph, schedule = case
    plan = simple_plan(graph, schedule)
    longer = [i for i, a in enumerate(plan.allocations) if a.last > a.first]
    if not longer:
        return
    index = random.Random(seed).choice(longer)
    old = plan.allocations[index]
    cut = edited(plan, index, replace(old, last=old.last - 1))
    assert {v.rule for v in find_violations(graph, cut)} & {"not-live", "returned-not-live"}


@given(scheduled_graphs(), SEEDS)
def test_no_allocation_can_be_left_out(case: tuple[Graph, tuple[int, ...]], seed: int) -> None:
    graph, schedule = case
    plan = simple_plan(graph, schedule)
    if not plan.allocations:
        return
    index = random.Random(seed).randrange(len(plan.allocations))
    fewer = replace(plan, allocations=plan.allocations[:index] + plan.allocations[index + 1 :])
    missing = {v.rule for v in find_violations(graph, fewer)} & {"missing-output", "missing-input", "missing-workspace"}
    assert missing


@settings(max_examples=300)
@given(scheduled_graphs(max_ops=7), st.lists(st.tuples(st.integers(0, 99), st.integers(0, 9), SEEDS), max_size=4))
def test_what_the_checker_passes_runs_correctly(
    case: tuple[Graph, tuple[int, ...]], edits: list[tuple[int, int, int]]
) -> None:
    """Soundness: spoil a plan at random; unless a rule is broken, every read still finds its bytes."""
    graph, schedule = case
    plan = simple_plan(graph, schedule, inplace=bool(len(edits) % 2))
    for where, kind, seed in edits:
        plan = spoiled(plan, where, kind, random.Random(seed))
    if not {v.rule for v in find_violations(graph, plan)} - TOTALS:
        assert runs_correctly(graph, plan)


def spoiled(plan: Plan, where: int, kind: int, rng: random.Random) -> Plan:
    if not plan.allocations:
        return plan
    index = where % len(plan.allocations)
    old = plan.allocations[index]
    if kind < 6:  # onto another buffer: by far the likeliest way to a plan that is wrong and looks right
        return edited(plan, index, replace(old, offset=rng.choice(plan.allocations).offset))
    if kind == 6:
        return edited(plan, index, replace(old, last=max(old.first, old.last - 1)))
    if kind == 7:
        return edited(plan, index, replace(old, last=min(old.last + 1, len(plan.schedule) - 1)))
    step, other = rng.randrange(len(plan.schedule)), rng.randrange(len(plan.schedule))
    order = list(plan.schedule)
    order[step], order[other] = order[other], order[step]
    return replace(plan, schedule=tuple(order))


def edited(plan: Plan, index: int, new: Allocation) -> Plan:
    return replace(plan, allocations=(*plan.allocations[:index], new, *plan.allocations[index + 1 :]))


def test_a_plan_of_a_layered_graph_passes() -> None:
    check(layered_graph(500, seed=3), simple_plan(layered_graph(500, seed=3)))

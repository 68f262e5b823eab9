"""Pairs that overlap at a distance: what they save, and what the checker says of a plan that goes too far."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tvm_memopt.graph import (
    Allocation,
    Graph,
    Op,
    Plan,
    Tensor,
    find_violations,
    graph_from_json,
    graph_to_json,
    lifetimes,
    live_profile,
    working_set,
)
from tvm_memopt.graph.model import Inplace


def _chain(source: int, target: int, pair: Inplace, alignment: int = 1) -> Graph:
    """x → a → b → y, where b may overlap a."""
    tensors = (
        Tensor("x", 8, "input", arena=False),
        Tensor("a", source),
        Tensor("b", target),
        Tensor("y", 8, arena=False),
    )
    ops = (Op("make", (0,), (1,)), Op("filter", (1,), (2,), inplace=(pair,)), Op("use", (2,), (3,)))
    return Graph("overlap", tensors, ops, (3,), alignment)


def _plan(graph: Graph, source: int, target: int, **changes: object) -> Plan:
    """The chain's only schedule with its tensors at these offsets."""
    a = Allocation(1, 0, 1, source, graph.tensors[1].nbytes)
    b = Allocation(2, 1, 2, target, graph.tensors[2].nbytes)
    shared = max(0, min(a.end, b.end) - max(a.offset, b.offset))
    peak = max(a.nbytes, b.nbytes, a.nbytes + b.nbytes - shared)
    plan = Plan(
        graph="overlap", schedule=(0, 1, 2), allocations=(a, b), alignment=graph.alignment,
        arena_nbytes=max(a.end, b.end), peak_live_nbytes=peak, lower_bound_nbytes=None, cost=0.0, base_cost=0.0,
        cost_bound=None, budget_nbytes=None, status="feasible", solver={},
    )  # fmt: skip
    return replace(plan, **changes)


@pytest.mark.parametrize(
    ("source", "target", "distance", "needed"),
    [
        (100, 100, 0, 100),
        (100, 100, 10, 110),  # the input lies 10 bytes above the output
        (100, 100, 100, 200),  # only disjoint
        (100, 160, 70, 170),  # the output is larger, and begins 70 bytes below
        (100, 160, 60, 160),  # the input lies in the output's last bytes
        (160, 100, -20, 160),  # the output may begin inside the input
        (160, 100, 30, 190),
    ],
)
def test_a_working_set_counts_the_union_of_a_pair_at_its_best_distance(source, target, distance, needed):
    graph = _chain(source, target, (1, 2, distance))
    assert working_set(graph, 1) == needed
    assert live_profile(graph, (0, 1, 2))[1] == needed


def test_a_distance_is_rounded_up_to_the_alignment():
    graph = _chain(128, 128, (1, 2, 10), alignment=64)
    assert working_set(graph, 1) == 192
    assert [o.distance for o in lifetimes(graph, (0, 1, 2)).overlaps] == [64]


def test_a_distance_that_allows_one_address_is_also_a_pair_at_one_address():
    lives = lifetimes(_chain(100, 80, (1, 2, -5)), (0, 1, 2))
    assert len(lives.inplace) == len(lives.overlaps) == 1
    assert not lifetimes(_chain(100, 80, (1, 2, 5)), (0, 1, 2)).inplace


def test_inputs_that_cover_an_output_in_different_places_are_all_counted():
    tensors = (Tensor("x", 8, "input", arena=False), *(Tensor(n, 50) for n in "ab"), Tensor("c", 100))
    make = tuple(Op(f"make {i}", (0,), (i,)) for i in (1, 2))
    join = Op("concatenate", (1, 2), (3,), inplace=((1, 3, 0), (2, 3, 0)))
    graph = Graph("join", (*tensors, Tensor("y", 8, arena=False)), (*make, join, Op("use", (3,), (4,))), (4,))
    assert working_set(graph, 2) == 100


def test_a_distance_survives_json():
    graph = _chain(100, 100, (1, 2, -7))
    assert graph_from_json(graph_to_json(graph)) == graph


def test_a_plan_that_keeps_the_distance_is_valid():
    graph = _chain(100, 100, (1, 2, 10))
    assert not find_violations(graph, _plan(graph, 10, 0))
    assert not find_violations(graph, _plan(graph, 60, 0))
    assert not find_violations(graph, _plan(graph, 0, 100))


@pytest.mark.parametrize(
    ("pair", "offsets"),
    [
        ((1, 2, 10), (9, 0)),  # one byte too far
        ((1, 2, 10), (0, 0)),  # at one address, which the distance does not allow
        ((1, 2, 10), (0, 40)),  # the output begins inside the input
        ((1, 2, 10), (0, 10)),  # the wrong way round
        ((1, 2, -10), (0, 11)),  # one byte too far, inside
        ((1, 2, -10), (0, 99)),
        ((1, 2), (10, 0)),  # a pair at one address only
        ((1, 2), (0, 10)),
    ],
)
def test_a_plan_that_goes_too_far_is_an_overlap(pair, offsets):
    graph = _chain(100, 100, pair)
    assert "overlap" in [v.rule for v in find_violations(graph, _plan(graph, *offsets))]
    assert not find_violations(graph, _plan(graph, 0, 100))


def test_an_input_that_lives_on_may_not_be_overlapped():
    graph = _chain(100, 100, (1, 2, 10))
    plan = _plan(graph, 10, 0)
    longer = replace(plan.allocations[0], last=2)
    assert "overlap" in [
        v.rule for v in find_violations(graph, replace(plan, allocations=(longer, plan.allocations[1])))
    ]


def test_a_returned_input_may_not_be_overlapped():
    graph = _chain(100, 100, (1, 2, 10))
    returned = replace(graph, outputs=(1, 3))
    plan = _plan(graph, 10, 0)
    longer = replace(plan.allocations[0], last=2)
    found = find_violations(returned, replace(plan, allocations=(longer, plan.allocations[1]), peak_live_nbytes=200))
    assert "overlap" in [v.rule for v in found]


def test_another_step_may_not_overlap_as_a_pair_does():
    """The pair is of op 1; op 2 has none."""
    graph = _chain(100, 100, (1, 2, 10))
    swapped = replace(graph, ops=(graph.ops[0], replace(graph.ops[1], inplace=()), graph.ops[2]))
    assert "overlap" in [v.rule for v in find_violations(swapped, _plan(graph, 10, 0))]


def test_bytes_in_common_count_once_in_the_peak():
    graph = _chain(100, 100, (1, 2, 10))
    plan = _plan(graph, 10, 0)
    assert plan.peak_live_nbytes == 110
    found = find_violations(graph, replace(plan, peak_live_nbytes=200))
    assert [v.rule for v in found] == ["wrong-peak"]

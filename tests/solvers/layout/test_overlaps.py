"""Placements of buffers that may overlap at a distance, against brute force."""

from __future__ import annotations

import random

import pytest

from tests.graph.strategies import random_schedule
from tests.solvers.brute_force import least_arena, placement_is_valid
from tvm_memopt.graph import Graph, Lifetimes, Op, Tensor, check, lifetimes, random_graph, working_set_bound
from tvm_memopt.solvers import Deadline, Request, solve
from tvm_memopt.solvers.joint.improve import improve_jointly
from tvm_memopt.solvers.layout import place
from tvm_memopt.solvers.layout.exact import greedy
from tvm_memopt.solvers.layout.load import load_bound
from tvm_memopt.solvers.layout.place import place_greedily

_SMALL = {"max_nbytes": 40, "inplace": 0.9, "distances": 0.8, "workspaces": 0.1}


def _lives(seed: int, ops: int = 4) -> tuple[Lifetimes, int]:
    graph = random_graph(ops, seed=seed, **_SMALL)
    return lifetimes(graph, random_schedule(graph, random.Random(seed))), graph.alignment


def _small(seed: int) -> Graph:
    return random_graph(4, seed=seed, views=0.0, **_SMALL)


_SEEDS = [seed for seed in range(120) if _lives(seed)[0].overlaps and len(_lives(seed)[0].buffers) <= 5]


@pytest.mark.parametrize("seed", _SEEDS)
def test_the_least_arena_is_found_and_proved(seed):
    pytest.importorskip("ortools", reason="the exact placement needs OR-tools")
    lives, alignment = _lives(seed)
    least = least_arena(lives, alignment)
    found = place(lives, alignment, Deadline(20))
    assert placement_is_valid(lives, dict(enumerate(found.offsets)))
    assert (found.arena_nbytes, found.lower_bound_nbytes) == (least, least)


@pytest.mark.parametrize("seed", range(30))
def test_greedy_placements_keep_every_distance_and_bounds_hold(seed):
    lives, alignment = _lives(seed, ops=30)
    native = greedy(lives, alignment)
    for offsets in (native.offsets, place_greedily(lives, alignment, Deadline(0.2)).offsets):
        assert offsets is not None
        assert placement_is_valid(lives, dict(enumerate(offsets)))
        arena = max((x + b.nbytes for x, b in zip(offsets, lives.buffers, strict=True)), default=0)
        assert load_bound(lives, alignment) <= arena


@pytest.mark.parametrize("seed", range(15))
def test_every_plan_is_valid_and_no_bound_is_above_it(seed):
    graph = random_graph(9, seed=seed, **_SMALL)
    plan = solve(graph, Request(time_limit=0.3, seed=0, threads=1))
    check(graph, plan)
    assert working_set_bound(graph)[0] <= plan.arena_nbytes


@pytest.mark.parametrize("seed", [s for s in range(40) if len(_small(s).tensors) <= 5 and any(_small(s).sharing)])
def test_orders_and_addresses_together_find_what_every_order_allows(seed):
    pytest.importorskip("ortools", reason="the joint model needs OR-tools")
    graph = _small(seed)
    least = min(least_arena(lifetimes(graph, order), graph.alignment) for order in _orders(graph))
    answer = improve_jointly(graph, least + 1, 0, Deadline(20))
    assert answer.proved
    assert answer.bound_nbytes == least
    assert improve_jointly(graph, least, 0, Deadline(20)).order is None


def _orders(graph) -> set[tuple[int, ...]]:
    return {random_schedule(graph, random.Random(draw)) for draw in range(40)}


def test_a_chain_of_filters_goes_down_a_row_with_each():
    tensors = (Tensor("x", 1000, "input", arena=True), *(Tensor(f"t{i}", 1000) for i in range(3)))
    ops = tuple(Op(f"filter {i}", (i,), (i + 1,), inplace=((i, i + 1, 50),)) for i in range(3))
    graph = Graph("filters", tensors, ops, (3,))
    plan = solve(graph, Request(time_limit=2, threads=1))
    assert (plan.arena_nbytes, plan.status) == (1150, "optimal")

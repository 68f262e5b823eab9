"""Placement of blocks by pairwise conflicts: valid, never below the bound, and least on small cases."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tvm_memopt.solvers.layout.conflicts import (
    ConflictBlocks,
    clique_bound,
    first_fit,
    merged_blocks,
    place_conflicts,
    place_in_pools,
)
from tvm_memopt.solvers.request import Deadline


@st.composite
def blocks(draw, most=6):
    count = draw(st.integers(1, most))
    sizes = draw(st.lists(st.integers(0, 9), min_size=count, max_size=count))
    alignments = draw(st.lists(st.sampled_from([1, 2, 4]), min_size=count, max_size=count))
    pairs = [(i, j) for i in range(count) for j in range(i)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    conflicts = [sorted({j for pair in chosen if i in pair for j in pair if j != i}) for i in range(count)]
    return ConflictBlocks(tuple(sizes), tuple(alignments), tuple(map(tuple, conflicts)))


def least_arena(case):
    """First fit finds a least placement in one of the orders: that of its offsets."""
    return min(case.arena(first_fit(case, order)) for order in permutations(range(len(case))))


@given(blocks())
@settings(max_examples=150, deadline=None)
def test_placement_is_valid_and_least(case):
    offsets, bound = place_conflicts(case, Deadline(20))
    assert not case.overlaps(offsets)
    assert all(offset % alignment == 0 for offset, alignment in zip(offsets, case.alignments, strict=True))
    assert bound <= case.arena(offsets) == least_arena(case)


@given(blocks())
def test_clique_bound_holds(case):
    assert clique_bound(case) <= least_arena(case)


def test_start_is_never_made_worse():
    case = ConflictBlocks((4, 4, 4), (1, 1, 1), ((1,), (0, 2), (1,)))
    offsets, _ = place_conflicts(case, Deadline(5), starts=[[0, 4, 0]])
    assert case.arena(offsets) == 8


def test_overlaps_names_conflicting_blocks():
    case = ConflictBlocks((4, 4, 4), (1, 1, 1), ((1,), (0,), ()))
    assert case.overlaps([0, 3, 0]) == [(0, 1)]
    assert case.overlaps([0, 4, 0]) == []


def test_blocks_of_intervals_conflict_in_a_shared_step():
    case = ConflictBlocks.of_intervals([1, 1, 1], [(0, 1), (1, 2), (2, 2)])
    assert case.conflicts == ((1,), (0, 2), (1,))


def test_grouped_blocks_share_an_offset_but_keep_their_own_sizes():
    # 0 (4 bytes) and 1 (6 bytes) share an offset; 2 conflicts with the smaller one alone
    case = merged_blocks(ConflictBlocks((4, 6, 2), (1, 1, 1), ((1, 2), (0,), (0,))), [(0, 1)])
    offsets, bound = place_conflicts(case, Deadline(5))
    assert offsets[0] == offsets[1]
    assert case.arena(offsets) == bound == 6
    assert case.is_valid(offsets)
    assert not case.is_valid([0, 1, 8])


def test_pair_that_would_group_conflicting_blocks_is_left_out():
    case = merged_blocks(ConflictBlocks((4, 4, 4), (1, 1, 1), ((1, 2), (0, 2), (0, 1))), [(0, 1), (1, 2)])
    assert sorted(map(len, case.units)) == [1, 2]


@given(blocks(), st.lists(st.integers(4, 20), min_size=2, max_size=2))
def test_pools_respect_capacities_and_candidates(case, sizes):
    candidates = [[0, 1] if i % 2 else [1] for i in range(len(case))]
    placed = place_in_pools(case, candidates, sizes)
    if placed is None:
        return
    for block, (pool, offset) in enumerate(placed):
        assert pool in candidates[block]
        assert offset + case.nbytes[block] <= sizes[pool]
    for i, others in enumerate(case.conflicts):
        for j in others:
            (p, a), (q, b) = placed[i], placed[j]
            assert p != q or a + case.nbytes[i] <= b or b + case.nbytes[j] <= a


@pytest.mark.parametrize(("capacity", "fits"), [(7, False), (8, True)])
def test_pools_too_small_give_none(capacity, fits):
    case = ConflictBlocks((4, 4), (1, 1), ((1,), (0,)))
    assert (place_in_pools(case, [[0], [0]], [capacity]) is not None) == fits

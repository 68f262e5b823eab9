"""Bins for executors without offsets: valid, never below the bound, least on small cases."""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings

from tests.solvers.layout.test_conflicts import blocks
from tvm_memopt.solvers.layout.bins import assign_bins, bins_nbytes
from tvm_memopt.solvers.layout.conflicts import ConflictBlocks
from tvm_memopt.solvers.request import Deadline


def valid(case, bins):
    return all(bins[i] != bins[j] for i, others in enumerate(case.conflicts) for j in others)


def least_bins(case):
    choices = product(range(len(case)), repeat=len(case))
    return min(bins_nbytes(case, bins) for bins in choices if valid(case, bins))


@given(blocks(most=5))
@settings(max_examples=150, deadline=None)
def test_bins_are_valid_and_least(case):
    bins, bound = assign_bins(case, Deadline(20))
    assert valid(case, bins)
    assert bound <= bins_nbytes(case, bins) == least_bins(case)


def test_given_start_is_kept_where_nothing_is_better():
    case = ConflictBlocks((4, 4), (1, 1), ((1,), (0,)))
    assert assign_bins(case, Deadline(5), start=[7, 3])[0] == [7, 3]


def test_largest_block_sets_the_size_of_a_bin():
    case = ConflictBlocks((8, 2, 8, 2), (1,) * 4, ((1,), (0,), (3,), (2,)))
    bins, bound = assign_bins(case, Deadline(5))
    assert bins_nbytes(case, bins) == bound == 10

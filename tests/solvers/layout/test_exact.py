from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.solvers.brute_force import least_arena, placement_is_valid
from tests.solvers.strategies import SEEDS, buffer_sets
from tvm_memopt.errors import BudgetError
from tvm_memopt.graph import Allocation, Buffer, Lifetimes
from tvm_memopt.graph.overlap import overlapping
from tvm_memopt.solvers.layout import load_bound
from tvm_memopt.solvers.layout.buffers_csv import read_buffers
from tvm_memopt.solvers.layout.exact import Effort, LayoutOutcome, fit, greedy, minimise, search
from tvm_memopt.solvers.layout.exact_switches import LAYOUT_SWITCHES
from tvm_memopt.solvers.layout.valleys import fits_by_valleys, least_arena_by_valleys

ALIGNMENTS = st.sampled_from((1, 4, 64))
INSTANCES = Path(__file__).parents[2] / "data" / "minimalloc"
TIGHT = ([0, 0, 1, 2, 3], [1, 3, 2, 4, 4], [4, 2, 3, 3, 5])  # first, last, nbytes


def without_pairs(lives: Lifetimes) -> Lifetimes:
    return Lifetimes(lives.buffers, (), lives.steps)


def assert_sound(lives: Lifetimes, alignment: int, found: LayoutOutcome) -> None:
    assert found.offsets is not None
    assert placement_is_valid(lives, dict(enumerate(found.offsets)))
    assert all(offset >= 0 and offset % alignment == 0 for offset in found.offsets)
    ends = [offset + b.nbytes for offset, b in zip(found.offsets, lives.buffers, strict=True) if b.nbytes]
    assert found.arena_nbytes == max(ends, default=0)
    assert found.bound_nbytes <= found.arena_nbytes


@given(buffer_sets(), ALIGNMENTS)
@settings(max_examples=200, deadline=None)
def test_the_smallest_arena_is_that_of_brute_force_and_proved(lives: Lifetimes, alignment: int) -> None:
    found = search(lives, alignment, Effort(seconds=60))
    assert_sound(lives, alignment, found)
    assert found.proved
    assert found.arena_nbytes == least_arena(lives, alignment)


@given(buffer_sets(), ALIGNMENTS)
@settings(max_examples=60, deadline=None)
def test_the_python_twin_is_as_good_as_brute_force(lives: Lifetimes, alignment: int) -> None:
    apart = without_pairs(lives)
    assert least_arena_by_valleys(apart, alignment) == least_arena(apart, alignment)


@given(buffer_sets(max_buffers=8, steps=6), ALIGNMENTS, SEEDS)
@settings(max_examples=200, deadline=None)
def test_eight_buffers_fit_exactly_where_the_python_twin_says_so(lives: Lifetimes, alignment: int, seed: int) -> None:
    apart = without_pairs(lives)
    bound = load_bound(apart, alignment)
    for capacity in range(max(0, bound - 1), bound + 3):
        found = search(apart, alignment, Effort(seconds=60, seed=seed), capacity=capacity)
        assert found.proved
        assert (found.offsets is not None) == fits_by_valleys(apart, alignment, capacity)
        if found.offsets is not None:
            assert_sound(apart, alignment, found)
            assert found.arena_nbytes is not None
            assert found.arena_nbytes <= capacity


@pytest.mark.parametrize("switch", LAYOUT_SWITCHES)
@given(lives=buffer_sets(max_buffers=6), alignment=ALIGNMENTS)
@settings(max_examples=40, deadline=None)
def test_each_switch_off_leaves_the_answer_as_it_is(switch: str, lives: Lifetimes, alignment: int) -> None:
    apart = without_pairs(lives)
    found = search(apart, alignment, Effort(seconds=60, disabled={switch}))
    assert_sound(apart, alignment, found)
    assert found.proved
    assert found.arena_nbytes == least_arena_by_valleys(apart, alignment)


@given(buffer_sets(max_buffers=7))
@settings(max_examples=40, deadline=None)
def test_all_switches_off_leave_the_answer_as_it_is(lives: Lifetimes) -> None:
    found = search(without_pairs(lives), 1, Effort(seconds=60, disabled=set(LAYOUT_SWITCHES)))
    assert found.proved
    assert found.arena_nbytes == least_arena_by_valleys(without_pairs(lives), 1)


@given(buffer_sets(max_buffers=8), ALIGNMENTS)
@settings(max_examples=40, deadline=None)
def test_two_threads_find_the_same_arena_as_one(lives: Lifetimes, alignment: int) -> None:
    one, two = (search(lives, alignment, Effort(seconds=60, threads=threads)) for threads in (1, 2))
    assert (one.arena_nbytes, one.proved) == (two.arena_nbytes, two.proved)


@given(buffer_sets(max_buffers=12, steps=9), ALIGNMENTS)
@settings(max_examples=200, deadline=None)
def test_greedy_placement_is_valid(lives: Lifetimes, alignment: int) -> None:
    assert_sound(lives, alignment, greedy(lives, alignment))


def test_sizes_near_the_limit_are_counted_exactly() -> None:
    large = 2**59 - 1
    found = minimise([0, 0, 1], [0, 1, 1], [large, large, large])
    assert (found.arena_nbytes, found.proved) == (2 * large, True)


def test_every_published_instance_that_is_quick_fits() -> None:
    for name in "BHG":
        lives = read_buffers(INSTANCES / f"{name}.1048576.csv").lives
        found = search(lives, 1, Effort(seconds=60), capacity=1 << 20)
        assert_sound(lives, 1, found)
        assert found.arena_nbytes == 1 << 20


def test_the_same_seed_in_one_thread_gives_the_same_offsets() -> None:
    lives = read_buffers(INSTANCES / "A.1048576.csv").lives
    first, again = (search(lives, 1, Effort(seconds=60, seed=3), capacity=1 << 20) for _ in range(2))
    assert first == again


def test_a_deadline_of_nothing_still_gives_a_placement() -> None:
    lives = read_buffers(INSTANCES / "J.1048576.csv").lives
    found = search(lives, 1, Effort(seconds=0))
    assert_sound(lives, 1, found)
    assert not found.proved


def test_a_raised_flag_ends_the_search_with_a_placement() -> None:
    lives = read_buffers(INSTANCES / "J.1048576.csv").lives
    found = search(lives, 1, Effort(seconds=1e6, flag=np.ones(1, np.int32), threads=2))
    assert_sound(lives, 1, found)


def test_a_capacity_below_the_load_is_refuted_without_search() -> None:
    found = fit(*TIGHT, capacity=7)
    assert (found.offsets, found.proved, found.nodes) == (None, True, 0)
    assert found.bound_nbytes > 7


def test_a_large_set_is_placed_without_exhausting_memory() -> None:
    buffers = tuple(Buffer(i, i % 5000, min(9999, i % 5000 + i % 7000), 1 + i % 97) for i in range(10_000))
    lives = Lifetimes(buffers, (), 10_000)
    found = search(lives, 1, Effort(seconds=20))
    assert found.offsets is not None
    pairs = zip(buffers, found.offsets, strict=True)
    placed = [Allocation(b.tensor, b.first, b.last, offset, b.nbytes) for b, offset in pairs]
    assert not list(overlapping(placed))
    assert found.arena_nbytes == max(a.end for a in placed)
    assert load_bound(lives, 1) == found.bound_nbytes <= found.arena_nbytes


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"nbytes": [1, -1]}, "buffer 1"),
        ({"nbytes": [1, 2**61]}, "expected less than"),
        ({"last": [0, 0]}, "lives from 1 to 0"),
        ({"inplace": [(1, 0)]}, "in-place pair (1, 0)"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, list[int]], word: str) -> None:
    arguments = {"first": [0, 1], "last": [1, 2], "nbytes": [1, 1], **change}
    with pytest.raises(BudgetError) as refused:
        minimise(**arguments)
    assert word in str(refused.value)

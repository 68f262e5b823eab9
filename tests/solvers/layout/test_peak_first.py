import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.solvers.brute_force import least_arena, placement_is_valid
from tests.solvers.layout.around import placed_around
from tests.solvers.strategies import ALIGNMENTS, buffer_sets
from tvm_memopt.graph import Buffer, Lifetimes, align_up
from tvm_memopt.solvers import Deadline
from tvm_memopt.solvers.layout import load_bound, place_greedily
from tvm_memopt.solvers.layout.exact import Effort, fit_around
from tvm_memopt.solvers.layout.load import padded_load
from tvm_memopt.solvers.layout.peak_first import place_peak_first


def apart(lives: Lifetimes) -> Lifetimes:
    return Lifetimes(lives.buffers, (), lives.steps)


@given(buffer_sets(), ALIGNMENTS)
@settings(max_examples=40, deadline=None)
def test_fixed_buffers_stay_and_the_rest_fits_around(lives: Lifetimes, alignment: int) -> None:
    free = apart(lives)
    stacked, fixed, top = [-1] * len(free.buffers), {}, 0
    for i, b in enumerate(free.buffers):
        if i % 2 and b.nbytes:
            stacked[i] = fixed[i] = top
            top += align_up(b.nbytes, alignment)
    found = fit_around(free, stacked, alignment, Effort(60))
    assert found.offsets is not None
    assert found.arena_nbytes is not None
    assert placement_is_valid(free, dict(enumerate(found.offsets)))
    assert all(found.offsets[i] == offset for i, offset in fixed.items())
    assert found.arena_nbytes >= least_arena(free, alignment)


@given(buffer_sets(max_buffers=12, steps=9), ALIGNMENTS, st.integers(0, 60), st.integers(0, 2**12 - 1))
@settings(max_examples=200, deadline=None)
def test_placement_around_is_that_of_the_plain_twin(lives: Lifetimes, alignment: int, target: int, chosen: int) -> None:
    free, fixed, top = apart(lives), [-1] * len(lives.buffers), 0
    for i, b in enumerate(free.buffers):
        if chosen >> i & 1 and b.nbytes:
            fixed[i], top = top, top + align_up(b.nbytes, alignment)
    found = fit_around(free, fixed, alignment, Effort(60), target=target)
    assert (list(found.offsets or ()), found.arena_nbytes) == placed_around(free, fixed, alignment, target)


def long_schedule(buffers: int, seed: int) -> Lifetimes:
    """Short lives everywhere, long ones across the middle, where the peak is."""
    dice = random.Random(seed)
    found = []
    for index in range(buffers):
        first = dice.randrange(buffers)
        reach = min(first, buffers - first)
        last = buffers - first if first < buffers // 2 and dice.random() < 0.1 else first + dice.randrange(8)
        found.append(Buffer(index, first, min(last, buffers), 64 * dice.randrange(1, 20) + (reach == 0)))
    return Lifetimes(tuple(found), (), buffers + 1)


def test_thousands_of_buffers_come_within_a_five_hundredth_of_the_load() -> None:
    lives = long_schedule(4500, 0)
    placement = place_greedily(lives, 64, Deadline(60))
    assert placement_is_valid(lives, dict(enumerate(placement.offsets)))
    assert placement.arena_nbytes <= 1.002 * max(padded_load(lives, 64))


def test_same_seed_same_plan_and_the_flag_ends_it() -> None:
    lives = long_schedule(1500, 1)
    bound, flag = load_bound(lives, 64), np.zeros(1, np.int32)
    found = [place_peak_first(lives, 64, bound, 60, flag) for _ in range(2)]
    assert found[0] == found[1] is not None
    flag[0] = 1
    assert place_peak_first(lives, 64, bound, 60, flag) is None

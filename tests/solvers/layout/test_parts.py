from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.solvers.strategies import buffer_sets
from tvm_memopt.graph import Buffer, Lifetimes
from tvm_memopt.solvers.layout.chains import sharing_chains
from tvm_memopt.solvers.layout.components import restrict, time_components
from tvm_memopt.solvers.layout.gaps import lowest_fit, tightest_fit
from tvm_memopt.solvers.layout.sliding import RangeMaximum


@given(st.lists(st.integers(), min_size=1, max_size=40), st.data())
@settings(max_examples=100, deadline=None)
def test_range_maximum_is_the_maximum_of_the_slice(values: list[int], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(values) - 1))
    last = data.draw(st.integers(first, len(values) - 1))
    assert RangeMaximum(values).over(first, last) == max(values[first : last + 1])


@given(st.lists(st.tuples(st.integers(-20, 40), st.integers(1, 20)), max_size=8), st.sampled_from((1, 4)))
@settings(max_examples=200, deadline=None)
def test_lowest_fit_is_the_first_offset_outside_every_open_interval(
    drawn: list[tuple[int, int]], alignment: int
) -> None:
    forbidden = sorted((low, low + length) for low, length in drawn)
    free = [x for x in range(0, 200, alignment) if not any(low < x < high for low, high in forbidden)]
    assert lowest_fit(forbidden, alignment) == free[0]
    assert tightest_fit(forbidden, alignment) in free


def test_tightest_fit_prefers_the_narrow_gap() -> None:
    assert tightest_fit([(10, 20), (22, 30)], 1) == 20
    assert lowest_fit([(10, 20), (22, 30)], 1) == 0


@given(buffer_sets(max_buffers=8))
@settings(max_examples=100, deadline=None)
def test_chains_hold_each_buffer_once_and_follow_pairs(lives: Lifetimes) -> None:
    chains = sharing_chains(lives)
    assert sorted(i for chain in chains for i in chain) == [i for i, b in enumerate(lives.buffers) if b.nbytes]
    assert all(pair in lives.inplace for chain in chains for pair in pairwise(chain))
    assert all(len(chain) == 1 for chain in sharing_chains(lives, inplace=False))


def test_pairs_that_share_most_bytes_are_chosen() -> None:
    buffers = (Buffer(0, 0, 1, 9), Buffer(1, 0, 1, 8), Buffer(2, 1, 2, 9), Buffer(3, 1, 2, 8))
    lives = Lifetimes(buffers, ((1, 2), (0, 3), (0, 2), (1, 3)), 3)
    assert set(sharing_chains(lives)) == {(0, 2), (1, 3)}


@given(buffer_sets(max_buffers=8, steps=12))
@settings(max_examples=100, deadline=None)
def test_components_never_meet_in_time_and_cannot_be_cut_further(lives: Lifetimes) -> None:
    parts = [restrict(lives, members) for members in time_components(lives)]
    spans = [(min(b.first for b in p.buffers), max(b.last for b in p.buffers)) for p in parts]
    assert all(a[1] < b[0] for a, b in pairwise(spans))
    for part, (first, last) in zip(parts, spans, strict=True):
        assert all(any(b.first <= step <= b.last for b in part.buffers) for step in range(first, last + 1))

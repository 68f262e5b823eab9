import itertools

from hypothesis import given
from hypothesis import strategies as st

from tvm_memopt.graph import Allocation
from tvm_memopt.graph.overlap import overlapping

ALLOCATIONS = st.lists(
    st.builds(
        lambda first, length, offset, nbytes: Allocation(0, first, first + length, offset, nbytes),
        st.integers(0, 8),
        st.integers(0, 4),
        st.integers(-2, 20),
        st.integers(0, 8),
    ),
    max_size=14,
)


@given(ALLOCATIONS)
def test_every_pair_that_meets_is_found_once(allocations: list[Allocation]) -> None:
    expected = []
    for a, b in itertools.combinations(allocations, 2):
        steps = min(a.last, b.last) - max(a.first, b.first)
        shared = min(a.end, b.end) - max(a.offset, b.offset)
        if steps >= 0 and shared > 0 and a.nbytes and b.nbytes:
            expected.append((frozenset((id(a), id(b))), shared))
    found = [(frozenset((id(a), id(b))), shared) for a, b, shared in overlapping(allocations)]
    assert set(found) == set(expected)
    assert len(found) == len(expected)


@given(ALLOCATIONS)
def test_the_older_allocation_comes_first(allocations: list[Allocation]) -> None:
    assert all(old.first <= new.first for old, new, _ in overlapping(allocations))

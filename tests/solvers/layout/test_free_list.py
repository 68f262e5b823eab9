from hypothesis import given, settings
from hypothesis import strategies as st

from tests.solvers.brute_force import placement_is_valid
from tests.solvers.strategies import buffer_sets
from tvm_memopt.graph import Buffer, Lifetimes
from tvm_memopt.solvers.layout.free_list import FreeList
from tvm_memopt.solvers.layout.replay import replay


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 9)), max_size=40))
@settings(max_examples=200, deadline=None)
def test_free_list_takes_the_lowest_range_as_a_map_of_bytes_would(actions: list[tuple[bool, int]]) -> None:
    free, taken = FreeList(), [False] * 500
    blocks: list[tuple[int, int]] = []
    for take, nbytes in actions:
        if take or not blocks:
            expected = next(x for x in range(500) if not any(taken[x : x + nbytes]))
            start = free.take_lowest(nbytes)
            assert start == expected
            blocks.append((start, start + nbytes))
        else:
            start, end = blocks.pop(nbytes % len(blocks))
            free.give_back(start, end)
        taken = [any(low <= x < high for low, high in blocks) for x in range(500)]


@given(buffer_sets(max_buffers=10, steps=6), st.sampled_from((1, 8)), st.booleans())
@settings(max_examples=300, deadline=None)
def test_replay_is_a_valid_placement(lives: Lifetimes, alignment: int, inplace: bool) -> None:
    assert placement_is_valid(lives, dict(enumerate(replay(lives, alignment, inplace))))


def test_output_larger_than_its_input_grows_into_the_free_bytes_above() -> None:
    lives = Lifetimes((Buffer(0, 0, 1, 10), Buffer(1, 1, 2, 30), Buffer(2, 2, 3, 5)), ((0, 1), (1, 2)), 4)
    assert replay(lives, 1) == [0, 0, 0]


def test_arena_input_read_by_the_first_op_is_overwritten_in_place() -> None:
    lives = Lifetimes((Buffer(0, 0, 0, 10), Buffer(1, 0, 1, 20)), ((0, 1),), 2)
    assert replay(lives, 1) == [0, 0]

import pytest
from hypothesis import given, settings

from tests.solvers.brute_force import least_arena, placement_is_valid
from tests.solvers.strategies import ALIGNMENTS, SEEDS, buffer_sets
from tvm_memopt.graph import Buffer, Lifetimes, lifetimes, random_graph
from tvm_memopt.solvers import Deadline, Placement, place
from tvm_memopt.solvers.layout import held_peak, load_bound, place_greedily

EVERY_EXTRA = frozenset({"boosting", "cp-sat"})
FIVE_BUFFERS = Lifetimes(
    tuple(Buffer(i, *b) for i, b in enumerate([(0, 2, 4), (0, 1, 3), (2, 4, 3), (3, 5, 5), (5, 6, 7)])), (), 7
)


def assert_sound(lives: Lifetimes, placement: Placement, alignment: int) -> None:
    assert placement_is_valid(lives, dict(enumerate(placement.offsets)))
    assert all(offset >= 0 and offset % alignment == 0 for offset in placement.offsets)
    ends = [offset + b.nbytes for offset, b in zip(placement.offsets, lives.buffers, strict=True)]
    assert placement.arena_nbytes == max(ends, default=0)
    assert placement.lower_bound_nbytes <= placement.arena_nbytes


@given(buffer_sets(max_buffers=8), ALIGNMENTS)
@settings(max_examples=200, deadline=None)
def test_greedy_placement_is_valid(lives: Lifetimes, alignment: int) -> None:
    assert_sound(lives, place_greedily(lives, alignment, Deadline(60)), alignment)


@given(buffer_sets(), ALIGNMENTS)
@settings(max_examples=100, deadline=None)
def test_placement_is_as_small_as_brute_force_and_proved(lives: Lifetimes, alignment: int) -> None:
    placement = place(lives, alignment, Deadline(60))
    assert_sound(lives, placement, alignment)
    assert placement.arena_nbytes == least_arena(lives, alignment)
    assert placement.proved


@pytest.mark.parametrize("switch", ["best-fit", "inplace", "boosting", "cp-sat", "decompose"])
@given(lives=buffer_sets(), alignment=ALIGNMENTS)
@settings(max_examples=40, deadline=None)
def test_each_switch_off_leaves_a_sound_placement(switch: str, lives: Lifetimes, alignment: int) -> None:
    placement = place(lives, alignment, Deadline(60), disabled=frozenset({switch}))
    assert_sound(lives, placement, alignment)
    least = least_arena(lives, alignment)
    assert placement.lower_bound_nbytes <= least <= placement.arena_nbytes
    if switch in ("best-fit", "boosting", "decompose"):
        assert placement.arena_nbytes == least


@given(SEEDS, ALIGNMENTS)
@settings(max_examples=60, deadline=None)
def test_greedy_placement_of_a_whole_graph_is_valid(seed: int, alignment: int) -> None:
    graph = random_graph(60, seed=seed)
    lives = lifetimes(graph, range(60))
    placement = place(lives, alignment, Deadline(60), disabled=frozenset({"cp-sat"}))
    assert_sound(lives, placement, alignment)
    assert placement.lower_bound_nbytes == load_bound(lives, alignment)


@given(buffer_sets(max_buffers=8), ALIGNMENTS)
@settings(max_examples=100, deadline=None)
def test_without_time_there_is_still_a_placement(lives: Lifetimes, alignment: int) -> None:
    assert_sound(lives, place(lives, alignment, Deadline(0)), alignment)


def test_five_buffers_meet_their_load() -> None:
    placement = place(FIVE_BUFFERS, 1, Deadline(60))
    assert (placement.arena_nbytes, placement.proved) == (load_bound(FIVE_BUFFERS, 1), True)


def test_search_ends_at_the_target() -> None:
    placement = place(FIVE_BUFFERS, 1, Deadline(60), target=1000)
    assert placement.arena_nbytes <= 1000
    assert placement.method == "replay in time order"


def test_only_the_topmost_buffer_goes_without_padding() -> None:
    lives = Lifetimes((Buffer(0, 0, 0, 65), Buffer(1, 0, 0, 1)), (), 1)
    assert load_bound(lives, 64) == place(lives, 64, Deadline(60)).arena_nbytes == 64 + 65


def test_chain_of_in_place_ops_lies_at_one_offset() -> None:
    buffers = tuple(Buffer(i, i, i + 1, 10) for i in range(5))
    lives = Lifetimes(buffers, tuple((i, i + 1) for i in range(4)), 6)
    placement = place(lives, 1, Deadline(60))
    assert (placement.arena_nbytes, placement.proved) == (10, True)
    assert held_peak(lives, placement.offsets) == 10
    apart = place(lives, 1, Deadline(60), disabled=frozenset({"inplace"}))
    assert (apart.arena_nbytes, held_peak(lives, apart.offsets)) == (20, 20)


def test_one_input_is_overwritten_by_one_output_only() -> None:
    lives = Lifetimes((Buffer(0, 0, 1, 10), Buffer(1, 1, 2, 10), Buffer(2, 1, 2, 10)), ((0, 1), (0, 2)), 3)
    assert place(lives, 1, Deadline(60)).arena_nbytes == 20


def test_zero_byte_buffers_lie_at_zero_and_exclude_nothing() -> None:
    lives = Lifetimes((Buffer(0, 0, 0, 0), Buffer(1, 0, 0, 7), Buffer(2, 0, 0, 0)), (), 1)
    placement = place(lives, 64, Deadline(60))
    assert (placement.offsets, placement.arena_nbytes) == ((0, 0, 0), 7)


def test_nothing_to_place_needs_no_arena() -> None:
    placement = place(Lifetimes((), (), 0), 64, Deadline(60))
    assert (placement.offsets, placement.arena_nbytes, placement.proved) == ((), 0, True)

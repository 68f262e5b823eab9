import pytest
from hypothesis import given, settings

from tests.solvers.brute_force import least_arena, placement_is_valid
from tests.solvers.strategies import ALIGNMENTS, buffer_sets
from tvm_memopt.graph import Lifetimes
from tvm_memopt.solvers import Deadline
from tvm_memopt.solvers.layout.cp_sat import place_below

pytest.importorskip("ortools", reason="the exact placement needs OR-tools")


def solid(lives: Lifetimes) -> Lifetimes:
    """Without buffers of no bytes, which the caller never passes on."""
    keep = [i for i, b in enumerate(lives.buffers) if b.nbytes]
    pairs = tuple((keep.index(a), keep.index(b)) for a, b in lives.inplace if a in keep and b in keep)
    return Lifetimes(tuple(lives.buffers[i] for i in keep), pairs, lives.steps)


@given(buffer_sets().map(solid).filter(lambda lives: lives.buffers), ALIGNMENTS)
@settings(max_examples=60, deadline=None)
def test_least_arena_is_found_and_one_byte_less_refuted(lives: Lifetimes, alignment: int) -> None:
    least, hint = least_arena(lives, alignment), [0] * len(lives.buffers)
    ample = sum(-(-b.nbytes // alignment) * alignment for b in lives.buffers)
    found, word = place_below(lives, alignment, 0, ample, hint=hint, deadline=Deadline(60))
    assert word == "best"
    assert found is not None
    assert placement_is_valid(lives, dict(enumerate(found)))
    assert max(x + b.nbytes for x, b in zip(found, lives.buffers, strict=True)) == least
    assert place_below(lives, alignment, 0, least - 1, hint=hint, deadline=Deadline(60)) == (None, "none")


@given(buffer_sets().map(solid).filter(lambda lives: lives.buffers), ALIGNMENTS)
@settings(max_examples=40, deadline=None)
def test_a_question_without_objective_is_answered_the_same(lives: Lifetimes, alignment: int) -> None:
    least, hint = least_arena(lives, alignment), [0] * len(lives.buffers)
    for upper, fits in ((least, True), (least - 1, False)):
        found, word = place_below(lives, alignment, 0, upper, hint=hint, deadline=Deadline(60), minimise=False)
        assert (found is not None, word) == (fits, "best" if fits else "none")

import pytest

from tvm_memopt.runtime.dead_bytes import Spot, traced_spots
from tvm_memopt.runtime.trace import Buffer, Conflict, Recorder, find_conflicts


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        (Buffer(0, 64, 0, 1), Buffer(64, 64, 1, 2), 0),  # neighbours
        (Buffer(0, 64, 0, 1), Buffer(0, 64, 2, 3), 0),  # one after the other
        (Buffer(0, 64, 0, 1), Buffer(0, 64, 1, 3), 0),  # in place: input and output of call 1
        (Buffer(0, 64, 0, 2), Buffer(0, 64, 1, 3), 64),  # still read by call 2
        (Buffer(0, 64, 0, 2), Buffer(48, 64, 1, 1), 16),  # a corner is enough
        (Buffer(0, 64, 1, 1), Buffer(32, 64, 1, 1), 32),  # two outputs of one call
    ],
)
def test_live_bytes_written_over_are_a_conflict(first, second, shared):
    expected = (Conflict(kernel=1, overwritten=0, writer=1, nbytes=shared),) if shared else ()
    assert find_conflicts([first, second]) == expected


def test_a_buffer_that_no_kernel_took_conflicts_with_nothing():
    assert find_conflicts([Buffer(0, 64), Buffer(0, 64, 0, 2), Buffer(0, 64)]) == ()


def test_a_dying_input_is_spared_where_the_output_took_its_place():
    trace = Recorder(kernels=["make", "change", "read"], buffers=[Buffer(0, 256, 0, 1), Buffer(64, 128, 1, 2)])
    assert traced_spots(trace) == {1: [Spot(0, 0, 64), Spot(0, 192, 64)], 2: [Spot(1, 0, 128)]}


def test_a_returned_buffer_is_never_dead():
    trace = Recorder(kernels=["make"], buffers=[Buffer(0, 64, 0, 1)])
    assert traced_spots(trace) == {}

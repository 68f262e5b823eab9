import numpy as np
import pytest

from benchmarks.references.calibration import by_fastest, by_isotonic, isotonic
from tvm_memopt.cost_model.network.metrics import measure, ranking


def test_perfect_predictions_have_no_error_and_full_marks():
    seconds = np.array([1.0, 2.0, 3.0, 5.0])
    found = measure(seconds, -seconds, seconds, np.array([0, 0, 1, 1]))
    assert found.document() == {"mean_error": 0, "median_error": 0, "r2": 1, "pairwise": 1, "top1": 1, "top5": 1}


def test_errors_and_r2_are_those_counted_by_hand():
    found = measure(np.array([2.0, 1.0]), np.array([1.0, 2.0]), np.array([1.0, 2.0]), np.array([0, 0]))
    assert (found.mean_error, found.median_error) == (0.75, 0.75)
    assert found.r2 == pytest.approx(-3.0)
    assert (found.pairwise, found.top1, found.top5) == (0.0, 0.5, 1.0)


def test_equal_scores_are_half_right_and_equal_times_do_not_count():
    assert ranking(np.zeros(2), np.array([1.0, 2.0]))[0] == 0.5
    assert ranking(np.array([3.0, 2.0, 1.0]), np.array([1.0, 1.0, 2.0]))[0] == 1.0


def test_top_five_looks_at_five():
    seconds = np.arange(1.0, 8.0)
    assert ranking(seconds, seconds)[1:] == (1 / 7, 1 / 3)


def test_the_isotonic_map_pools_what_is_out_of_order():
    curve = isotonic(np.array([0.0, 1.0, 2.0, 3.0]), np.exp([4.0, 2.0, 3.0, 1.0]))
    assert curve[1].tolist() == pytest.approx([4.0, 2.5, 2.5, 1.0])
    assert np.log(by_isotonic(curve, np.array([-1.0, 0.5, 9.0]))).tolist() == pytest.approx([4.0, 3.25, 1.0])


def test_the_fastest_time_sets_the_unit_of_each_program():
    found = by_fastest(np.array([1.0, 0.5, 10.0, 5.0]), np.array([3.0, 9.0, 1.0, 1.5]), np.array([0, 0, 1, 1]))
    assert found.tolist() == [3.0, 6.0, 1.0, 2.0]

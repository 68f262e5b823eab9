import numpy as np

from tvm_memopt.solvers.order.learned.advantages import imitation_importance, step_importance


def test_a_decision_answers_for_what_comes_after_it_only():
    held = np.array([[9, 1, 5], [3, 1, 5]])
    importance = step_importance(held, held.max(axis=1))
    assert importance[0, 0] < 0 < importance[1, 0]
    np.testing.assert_array_equal(importance[:, 1:], 0)  # from there on both stay within the better peak


def test_importance_sums_to_nothing_over_the_draws():
    held = np.random.default_rng(0).integers(0, 100, (8, 30))
    np.testing.assert_allclose(step_importance(held, held.max(axis=1)).sum(axis=0), 0, atol=1e-6)


def test_draws_that_agree_teach_nothing():
    held = np.full((4, 6), 7)
    np.testing.assert_array_equal(step_importance(held, held.max(axis=1)), 0)


def test_imitation_counts_decisions_before_the_peak_in_full_and_far_below_it_not_at_all():
    importance = imitation_importance(np.array([10, 100, 90, 20, 10]))
    np.testing.assert_allclose(importance, [1, 1, 0.6, 0, 0], atol=1e-6)

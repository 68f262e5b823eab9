"""The front of choices: time against scratch."""

from tvm_memopt.cost_model.tuner.predicted.choices import Choice, Found

PLAIN = Choice(10.0, 100, None)
FAST, MEDIUM, LEAN = Choice(1.0, 300, ["fast"]), Choice(2.0, 200, ["medium"]), Choice(4.0, 0, ["lean"])


def test_the_first_choice_is_best_and_the_unscheduled_kernel_without_choices() -> None:
    assert Found(PLAIN, (FAST, LEAN)).best() == FAST
    assert Found(PLAIN, ()).best() == PLAIN


def test_merging_keeps_what_nothing_beats_in_time_and_scratch() -> None:
    beaten = Choice(3.0, 250, ["beaten"])
    assert Found(PLAIN, (FAST, beaten)).merged(Found(PLAIN, (MEDIUM, LEAN))).choices == (FAST, MEDIUM, LEAN)

from math import inf

import pytest

from benchmarks.tuning.figures import Pair, pairs, render

OURS = [(16, 10.0, 5.0, 4e-6), (32, 20.0, 9.0, 2e-6)]
THEIRS = [(16, 8.0, 5.0, 8e-6), (32, 40.0, 9.0, 4e-6)]


def test_shares_tell_when_the_others_final_time_was_reached():
    pair = Pair("conv", 0, OURS, THEIRS)
    assert pair.ratio == 0.5
    assert (pair.reached(0), pair.reached(1)) == (0.5, 0.25)
    assert Pair("conv", 0, THEIRS, OURS).reached(0) == inf


def test_ratios_on_the_way_compare_what_either_had_by_then():
    pair = Pair("conv", 0, OURS, THEIRS)
    assert pair.ratio_after(0, 16) == 0.5
    assert pair.ratio_after(1, 10.0) == 0.5
    assert pair.ratio_after(1, 20.0) == 0.25
    assert pair.ratio_after(0, 15) is None


def test_a_search_without_its_pair_is_left_out():
    runs = {"a b/gcn/0": {"curve": OURS}, "a b/xgb/0": {"curve": THEIRS}, "a b/gcn/1": {"curve": OURS}}
    assert [(pair.task, pair.seed) for pair in pairs(runs, "gcn", "xgb")] == [("a b", 0)]


def test_the_median_counts_searches_that_never_got_there():
    runs = {}
    for seed, curve in enumerate([OURS, [(32, 1.0, 1.0, 9e-6)], [(32, 1.0, 1.0, 9e-6)]]):
        runs |= {f"a/gcn/{seed}": {"curve": curve}, f"a/xgb/{seed}": {"curve": THEIRS}}
    text = render({"runs": runs, "trials": 32}, ("gcn", "xgb"))
    assert "reached in 1 of 3, after never of its candidates" in text
    assert "better in 1, worse in 2" in text
    assert f"geometric mean {(0.5 * 2.25 * 2.25) ** (1 / 3):.3f}" in text


@pytest.mark.parametrize("models", [("gcn", "xgb"), ("gcn", "mlp")])
def test_nothing_complete_is_said(models):
    assert (
        render({"runs": {"a/gcn/0": {"curve": OURS}}, "trials": 32}, models)
        == f"no pair of gcn and {models[1]} is complete"
    )


def test_the_curves_are_drawn_with_a_search_that_found_nothing_in_time(tmp_path):
    pytest.importorskip("matplotlib", reason="charts need it")
    from benchmarks.tuning.plot import _line, write_curves

    late = [(16, 400.0, 5.0, 3e-6)]
    runs = {"a/gcn/0": {"curve": late}, "a/xgb/0": {"curve": THEIRS}}
    for seed in (1, 2):
        runs |= {f"a/gcn/{seed}": {"curve": OURS}, f"a/xgb/{seed}": {"curve": THEIRS}}
    write_curves({"runs": runs, "trials": 32}, "gcn", "xgb", tmp_path / "curves.svg")
    assert (tmp_path / "curves.svg").read_text().startswith("<?xml")
    shares, medians = _line(pairs(runs, "gcn", "xgb"), "ours", 1, 32)
    assert (min(shares), medians[0], medians[-1]) == (0.25, 1.0, 0.5)

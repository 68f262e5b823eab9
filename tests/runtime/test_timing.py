import pytest

from tvm_memopt.errors import MemoptError
from tvm_memopt.runtime.timing import compare_times, spread


def test_builds_are_timed_round_by_round_against_the_last_one(conv_builds):
    modules = {"ours": conv_builds.arena["bytecode"].path, "unmodified": conv_builds.stock["bytecode"]}
    times = compare_times(modules, conv_builds.inputs, repeats=5)
    assert times.baseline == "unmodified"
    for seconds in (times.wall_seconds, times.cpu_seconds):
        assert set(seconds) == set(modules)
        assert all(len(s.samples) == 5 and 0 < s.low <= s.median <= s.high for s in seconds.values())
    assert times.wall_ratio["unmodified"].samples == times.cpu_ratio["unmodified"].samples == (1.0,) * 5
    ours, base = times.cpu_seconds["ours"].samples, times.cpu_seconds["unmodified"].samples
    assert times.cpu_ratio["ours"].samples == pytest.approx([a / b for a, b in zip(ours, base, strict=True)])


def test_the_baseline_can_be_named(conv_builds):
    path = conv_builds.stock["bytecode"]
    assert compare_times({"a": path, "b": path}, conv_builds.inputs, 1, baseline="a").baseline == "a"


def test_a_spread_is_the_median_and_quartiles():
    assert spread([5.0, 1.0, 2.0, 4.0, 3.0]) == type(spread([1.0]))(3.0, 2.0, 4.0, (5.0, 1.0, 2.0, 4.0, 3.0))


@pytest.mark.parametrize(("names", "repeats", "baseline"), [([], 3, None), (["a"], 0, None), (["a"], 3, "b")])
def test_an_empty_comparison_is_refused(conv_builds, names, repeats, baseline):
    modules = dict.fromkeys(names, conv_builds.stock["bytecode"])
    with pytest.raises(MemoptError, match="cannot compare"):
        compare_times(modules, conv_builds.inputs, repeats, baseline=baseline)

"""The table of latencies: ratios, their means, and models without figures."""

from benchmarks.latency.__main__ import render

ROW = {
    "kernels": 4, "scheduled": 3, "search_seconds": 1.0, "cpu_ms": {"default": 8.0, "predicted": 2.0},
    "peak_nbytes": {"default": 100, "predicted": 50}, "difference": 1e-7, "as_planned": True,
}  # fmt: skip


def test_means_are_over_the_models_that_have_both_builds() -> None:
    other = {
        **ROW, "cpu_ms": {"default": 16.0, "predicted": 1.0, "onnxruntime": 4.0},
        "peak_nbytes": {"default": 50, "predicted": 50, "onnxruntime": 200},
    }  # fmt: skip
    text = render({"one": ROW, "two": other, "three": {"skipped": "no file"}, "four": {"error": "MemoptError: no"}})
    assert "CPU time, predicted / default: geometric mean 0.125 of 2, worst 0.250" in text
    assert "CPU time, predicted / onnxruntime: geometric mean 0.250 of 1, worst 0.250" in text
    assert "peak bytes, predicted / default: geometric mean 0.707 of 2, worst 1.000" in text
    assert "peak bytes, predicted / onnxruntime: geometric mean 0.250 of 1, worst 0.250" in text
    assert "three: no file" in text
    assert "four: MemoptError: no" in text

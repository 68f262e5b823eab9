"""Times of the forms of kernels: measured where the target runs here, priced with a margin elsewhere."""

from __future__ import annotations

import json

import pytest
import tvm
from tvm import te, topi

from tests.passes.tir.running import HOST
from tests.passes.tir.test_partition import convolution, transposed
from tvm_memopt.graph import align_up
from tvm_memopt.passes.tir import form_times
from tvm_memopt.passes.tir.form_times import FormTimes
from tvm_memopt.passes.tir.workspace import kernel_forms

ELSEWHERE = tvm.target.Target({"kind": "llvm", "mtriple": "riscv64-unknown-linux-gnu"})


def times(func, target, path) -> FormTimes:
    return FormTimes(kernel_forms({"f": func}, target), target, path)


@pytest.fixture
def never_run(monkeypatch):
    def run(*_arguments):
        raise AssertionError("a kernel was run")

    monkeypatch.setattr(form_times, "paired_seconds", run)


def test_a_form_is_timed_once(tmp_path, monkeypatch):
    found = times(convolution(15, 3), HOST, tmp_path / "forms.json")
    ratio = found.ratio("f", "small")
    assert list(json.loads((tmp_path / "forms.json").read_text()).values()) == [ratio]
    assert ratio > 0
    monkeypatch.setattr(form_times, "paired_seconds", lambda *_: pytest.fail("timed twice"))
    assert times(convolution(15, 3), HOST, tmp_path / "forms.json").ratio("f", "small") == ratio


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "file").write_text("")
    assert times(convolution(15, 3), HOST, tmp_path / "file" / "forms.json").ratio("f", "small") > 0


def test_an_overlap_is_timed_once_with_room_around_the_output(tmp_path, monkeypatch):
    x = te.placeholder((1, 4, 24, 40), name="x", dtype="float32")
    func = te.create_prim_func([x, topi.nn.pool2d(x, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), "max")])
    found = times(func, HOST, tmp_path / "forms.json")
    distance = found.forms["f"].named["small"].overlaps[0, 1]
    pairs = ((0, 1, align_up(distance, 64)),)
    ratio = found.overlap_ratio("f", "small", pairs)
    assert ratio > 0
    monkeypatch.setattr(form_times, "paired_seconds", lambda *_, **__: pytest.fail("timed twice"))
    assert times(func, HOST, tmp_path / "forms.json").overlap_ratio("f", "small", pairs) == ratio
    assert times(func, ELSEWHERE, tmp_path / "forms.json").overlap_ratio("f", "small", pairs) > 1.02


@pytest.mark.usefixtures("never_run")
def test_nothing_of_another_machine_is_run(tmp_path):
    found = times(convolution(15, 3), ELSEWHERE, tmp_path / "forms.json")
    assert found.ratio("f", "fast") == 1.0
    assert 1.02 < found.ratio("f", "small") < 2.0
    assert not (tmp_path / "forms.json").exists()


@pytest.mark.usefixtures("never_run")
def test_a_fold_that_tests_every_element_is_priced_far_above_one_that_does_not(tmp_path):
    tested = times(transposed(9, 9, 2), ELSEWHERE, tmp_path / "forms.json")  # its window is too large to unroll
    assert tested.forms["f"].tested
    free = times(convolution(15, 3), ELSEWHERE, tmp_path / "forms.json")
    assert not free.forms["f"].tested
    assert tested.ratio("f", "small") > 3 * free.ratio("f", "small")

"""What TVM compiles is compiled, though nothing of it can be planned."""

from __future__ import annotations

import json

import pytest

from tests.cli.errors.unplannable import planned_before


@pytest.fixture
def model(tmp_path):
    return planned_before(tmp_path)


def test_a_model_is_compiled_with_the_reason(command, model, tmp_path):
    result = command("optimize", model, "-o", tmp_path / "module.so", "--json")
    assert result.status == 0, result.err
    document = json.loads(result.out)
    assert document["plan"] is None
    assert "planned already" in document["notes"][0]
    assert command("run", tmp_path / "module.so", "--against", model).status == 0


def test_a_model_is_refused_by_strict(command, model, tmp_path):
    result = command("optimize", model, "-o", tmp_path / "module.so", "--strict")
    assert result.status == 2
    assert "nothing of this module can be planned" in result.err
    assert not (tmp_path / "module.so").exists()


def test_no_budget_is_promised_for_what_is_not_planned(command, model, tmp_path):
    result = command("optimize", model, "-o", tmp_path / "module.so", "--budget", "64KiB")
    assert result.status == 2
    assert "no budget can be kept" in result.err
    assert not (tmp_path / "module.so").exists()


def _tune(command, model, tmp_path, *more):
    out, work = tmp_path / "module.so", tmp_path / "work"
    search = ("--cost-model", "random", "--trials", 4, "--timeout", 60)
    return command("tune", model, "-o", out, "--work-dir", work, *search, *more)


@pytest.mark.slow
def test_tuned_kernels_are_compiled_without_a_plan_and_the_reason_is_told(command, model, tmp_path):
    result = _tune(command, model, tmp_path, "--measure", "--json")
    assert result.status == 0, result.err
    document = json.loads(result.out)
    assert document["arena_nbytes"] is None
    assert "planned already" in document["notes"][0]
    assert document["compared"]["arena_as_planned"] is None
    assert document["compared"]["largest_difference"] < 1e-5
    assert command("run", tmp_path / "module.so").status == 0


def test_tuning_promises_no_budget_for_what_is_not_planned(command, model, tmp_path):
    result = _tune(command, model, tmp_path, "--budget", "64KiB")
    assert result.status == 2
    assert "no budget can be kept" in result.err
    assert not (tmp_path / "module.so").exists()

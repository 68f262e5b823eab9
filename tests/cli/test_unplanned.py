"""What TVM compiles is compiled, though nothing of it can be planned."""

from __future__ import annotations

import json

import pytest

from tests.cases.make_cases import write_case

pytest.importorskip("onnx")


@pytest.fixture
def nms(tmp_path):
    write_case("nms", tmp_path)
    return tmp_path / "nms.onnx"


def test_nms_is_compiled_with_the_reason(command, nms, tmp_path):
    result = command("optimize", nms, "-o", tmp_path / "nms.so", "--json")
    assert result.status == 0
    document = json.loads(result.out)
    assert document["plan"] is None
    assert "match_cast" in document["notes"][0]
    assert command("run", tmp_path / "nms.so", "--against", nms).status == 0


def test_nms_is_refused_by_strict(command, nms, tmp_path):
    result = command("optimize", nms, "-o", tmp_path / "nms.so", "--strict")
    assert result.status == 2
    assert "nothing of this module can be planned" in result.err
    assert not (tmp_path / "nms.so").exists()


def test_no_budget_is_promised_for_what_is_not_planned(command, nms, tmp_path):
    result = command("optimize", nms, "-o", tmp_path / "nms.so", "--budget", "64KiB")
    assert result.status == 2
    assert "no budget can be kept" in result.err
    assert not (tmp_path / "nms.so").exists()


def test_an_unplanned_module_is_measured_too(command, nms, tmp_path):
    result = command("optimize", nms, "-o", tmp_path / "nms.so", "--measure", "--json")
    assert result.status == 0
    measured = json.loads(result.out)["measured"]
    assert measured["outputs_equal"]
    assert measured["arena_as_planned"] is None
    assert measured["planned"]["total_nbytes"] == measured["unmodified"]["total_nbytes"]

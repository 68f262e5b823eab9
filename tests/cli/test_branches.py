"""A model with an If: what its branches allocate is told apart from the arena."""

from __future__ import annotations

import json

import pytest

from tests.cases.make_cases import write_case

pytest.importorskip("onnx")


def test_the_arena_is_as_planned_beside_the_branches(command, tmp_path):
    write_case("branch", tmp_path)
    module = tmp_path / "branch.so"
    result = command("optimize", tmp_path / "branch.onnx", "-o", module, "--measure", "--json")
    measured = json.loads(result.out)["measured"]
    assert measured["arena_as_planned"] is True
    assert measured["branches_nbytes"] == measured["planned"]["storage_nbytes"] - measured["planned_arena_nbytes"]
    assert measured["branches_nbytes"] > 0
    assert measured["outputs_equal"] is True
    assert measured["planned"]["total_nbytes"] <= measured["unmodified"]["total_nbytes"]
    again = json.loads(command("run", module, "--json").out)
    assert again["arena_as_planned"] is True

"""A module that really follows a wrong plan: the checker is put to sleep, the poison run is not."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.cli.small_models import two_branches
from tvm_memopt.frontends import import_model, random_inputs
from tvm_memopt.graph import find_violations, plan_from_json, plan_to_json
from tvm_memopt.passes.build import build_planned, build_unmodified
from tvm_memopt.passes.compile import make_target
from tvm_memopt.passes.relax import plan_forms, planning
from tvm_memopt.runtime import poison_run, run_module
from tvm_memopt.testing import dead_after


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    mod = import_model(two_branches(tmp_path_factory.mktemp("wrong") / "model.onnx"))
    inputs = random_inputs(mod, 0)
    return mod, inputs, run_module(build_unmodified(mod, make_target("llvm")), inputs)


def _build(mod, **options):
    return build_planned(mod, make_target("llvm"), planning.PlanOptions(fold_data_movement="always", **options))


def _cut_and_reused(plan, graph):
    """The stem's life ends before its second reader, and what that reader's elder makes takes its place."""
    document = json.loads(plan_to_json(plan))
    stem = next(a for a in document["allocations"] if a["first"] == 0 and a["tensor"] is not None)
    readers = [s for s, op in enumerate(plan.schedule) if stem["tensor"] in graph.ops[op].inputs]
    first = next(a for a in document["allocations"] if a["first"] == readers[0] and a["tensor"] is not None)
    stem["last"], first["offset"] = readers[0], stem["offset"]
    document.update(status="feasible", lower_bound_nbytes=None)
    document["arena_nbytes"] = max(a["offset"] + a["nbytes"] for a in document["allocations"])
    return plan_from_json(json.dumps(document))


def test_a_module_of_a_wrong_plan_is_caught_by_its_outputs_and_by_its_addresses(network, monkeypatch):
    mod, inputs, expected = network
    found = _build(mod).planned.functions["main"]
    wrong = _cut_and_reused(found.plan, found.graph)
    assert find_violations(found.graph, wrong)
    monkeypatch.setattr(plan_forms, "check", lambda *_: None)
    build = _build(mod, plan=wrong)
    for events in (dead_after(found.graph, wrong), None):
        result = poison_run(build.executable, inputs, events, expected=expected, isolate=True)
        assert result.differing
        assert result.conflicts


@pytest.mark.parametrize("caller_arena", [False, True])
def test_a_module_of_the_right_plan_is_clean(network, caller_arena):
    mod, inputs, expected = network
    build = _build(mod, caller_arena=caller_arena)
    found = build.planned.functions["main"]
    own = [*inputs, np.zeros(found.plan.arena_nbytes, np.uint8)] if caller_arena else inputs
    arena_input = len(inputs) if caller_arena else None
    events = dead_after(found.graph, found.plan)
    result = poison_run(build.executable, own, events, expected=expected, arena_input=arena_input)
    assert result.clean
    assert result.arena_nbytes == found.plan.arena_nbytes


def test_each_life_of_a_small_plan_that_is_cut_is_noticed(network):
    mod, inputs, expected = network
    build = _build(mod, split="never", overlap="never")
    graph, plan = (found := build.planned.functions["main"]).graph, found.plan
    cut_lives = [
        (i, a) for i, a in enumerate(plan.allocations) if a.tensor is not None and a.first < a.last
        and not any(a.tensor == pair[0] for op in graph.ops for pair in op.inplace)
    ]  # fmt: skip
    assert len(cut_lives) >= 3
    for index, cut in cut_lives:
        lives = (*plan.allocations[:index], replace(cut, last=cut.last - 1), *plan.allocations[index + 1 :])
        events = dead_after(graph, replace(plan, allocations=lives))
        assert poison_run(build.executable, inputs, events, expected=expected).differing, cut

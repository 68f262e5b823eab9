"""Outputs that begin inside inputs which are still read: planned, compiled and held against TVM's own build."""

from __future__ import annotations

import pytest
import tvm
from tvm import relax
from tvm.relax import op

from tests.passes.relax import networks
from tests.passes.relax.running import HOST, extracted, one_function, random_arrays, tensor
from tvm_memopt import testing
from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import Plan, check, working_set_bound
from tvm_memopt.passes.build import Build, build_planned, build_unmodified
from tvm_memopt.passes.relax.inplace import called_kernels, with_overlaps
from tvm_memopt.passes.relax.planning import PlanOptions
from tvm_memopt.passes.tir.form_times import FormTimes
from tvm_memopt.runtime import measure_memory, outputs_equal, poison_run, run_module

INPUTS = random_arrays([(1, 8, 16, 24)])


def filters() -> tvm.IRModule:
    """A pooling of stride 1, a depthwise convolution and a pooling, all with padding, between smaller tensors."""
    x = tensor("x", (1, 8, 16, 24))

    def body(b: relax.BlockBuilder) -> relax.Expr:
        wide = b.emit(op.nn.conv2d(x, networks.constant(16, 8, 1, 1)))
        pooled = b.emit(op.nn.max_pool2d(wide, (3, 3), (1, 1), (1, 1)))
        deep = b.emit(op.nn.conv2d(pooled, networks.constant(16, 1, 3, 3), padding=1, groups=16))
        return op.nn.max_pool2d(b.emit(op.nn.max_pool2d(deep, (3, 3), (1, 1), (1, 1))), (4, 4), (4, 4))

    return one_function([x], body)


def built(overlap: str, **options: object) -> Build:
    return build_planned(filters(), HOST, PlanOptions(time_limit=1, overlap=overlap, split="never", **options))


@pytest.fixture(scope="module")
def overlapping() -> Build:
    return built("always")


def plan_of(build: Build) -> Plan:
    return build.planned.functions["main"].plan


def shifts(build: Build) -> list[int]:
    """By how many bytes inputs begin above the outputs that they overlap."""
    return [pair[2] for pairs in build.planned.functions["main"].inplace for pair in pairs if len(pair) == 3]


def test_outputs_overlap_their_inputs_and_save_nearly_half(overlapping):
    apart = plan_of(built("never"))
    assert plan_of(overlapping).arena_nbytes < 0.6 * apart.arena_nbytes
    assert len(shifts(overlapping)) >= 2
    check(overlapping.planned.functions["main"].graph, plan_of(overlapping))


def test_outputs_are_those_of_tvm_bit_for_bit(overlapping):
    unmodified = build_unmodified(filters(), HOST)
    assert outputs_equal(run_module(overlapping.executable, INPUTS), run_module(unmodified, INPUTS))


def test_the_arena_measured_at_run_time_is_the_plan_s(overlapping):
    assert measure_memory(overlapping.executable, INPUTS).arena_nbytes == plan_of(overlapping).arena_nbytes


def test_bytes_that_die_are_not_read_again(overlapping):
    function = overlapping.planned.functions["main"]
    found = poison_run(overlapping.executable, INPUTS, testing.dead_after(function.graph, function.plan))
    assert found.clean
    assert found.poisoned_nbytes > 0


def price(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(FormTimes, "overlap_ratio", lambda *_: seconds)


def test_by_default_outputs_overlap_where_that_is_free(monkeypatch):
    price(monkeypatch, 1.0)
    build = built("auto")
    assert shifts(build)
    assert any("writes its output into an input" in note for note in build.planned.functions["main"].folds)


def test_by_default_no_kernel_becomes_slower(monkeypatch):
    price(monkeypatch, 1.3)
    build = built("auto")
    assert not shifts(build)
    assert plan_of(build).arena_nbytes == plan_of(built("never")).arena_nbytes


def test_a_budget_pays_for_overlaps_only_where_it_needs_them(monkeypatch):
    price(monkeypatch, 1.3)
    apart, least = plan_of(built("never")).arena_nbytes, plan_of(built("always")).arena_nbytes
    assert not shifts(built("auto", budget=apart))
    assert plan_of(built("auto", budget=least)).arena_nbytes <= least


def test_a_given_plan_with_overlaps_is_followed(overlapping):
    again = built("auto", plan=plan_of(overlapping))
    assert shifts(again) == shifts(overlapping)
    assert outputs_equal(run_module(again.executable, INPUTS), run_module(overlapping.executable, INPUTS))


def test_nothing_overlaps_where_in_place_pairs_are_off():
    build = built("always", inplace=False)
    assert not any(build.planned.functions["main"].inplace)


def test_only_the_kernels_named_may_overlap():
    extraction = extracted(filters(), overlap="never", split="never")
    everything = with_overlaps(extraction, called_kernels(extraction)).graph
    assert with_overlaps(extraction, ()).graph == extraction.graph
    assert working_set_bound(everything)[0] < working_set_bound(extraction.graph)[0]


def test_an_input_that_is_passed_twice_is_left_alone():
    x = tensor("x", (1, 4, 8, 8))

    def body(b: relax.BlockBuilder) -> relax.Expr:
        grown = b.emit(op.exp(x))
        return op.sum(b.emit(op.matmul(grown, grown)))

    extraction = extracted(one_function([x], body), overlap="always")
    assert all(len(pair) == 2 for o in extraction.graph.ops for pair in o.inplace)


def test_an_unknown_mode_is_named():
    with pytest.raises(MemoptError, match="overlap is 'maybe', expected one of auto, always, never"):
        built("maybe")

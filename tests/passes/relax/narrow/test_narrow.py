"""Kernels between narrow tensors: equal outputs, narrow edges, narrow weights, and the choice between both forms."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
import tvm_ffi
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.passes.relax.narrow.quantised import network, random_network, residual
from tests.passes.relax.running import assert_planned_right
from tvm_memopt import testing
from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import Graph
from tvm_memopt.passes import narrowing
from tvm_memopt.passes.compile import compile_module, lower
from tvm_memopt.passes.relax.narrow.element_types import has_narrow_tensors
from tvm_memopt.passes.relax.planning import PlanOptions, extract_module
from tvm_memopt.passes.tir.rounding import fuses_multiply_add

HOST = tvm.target.Target("llvm")


def graph_of(mod: tvm.IRModule, narrow: str, target: tvm.target.Target = HOST) -> Graph:
    lowered, _ = lower(mod, target, narrow)
    with target:
        return extract_module(lowered, target, PlanOptions(fold_data_movement="always")).functions["main"].graph


def widest_bytes(graph: Graph) -> int:
    """Bytes of the largest tensor between two kernels."""
    inner = {t for op in graph.ops for t in op.outputs} & {t for op in graph.ops for t in op.inputs}
    return max(graph.tensors[t].nbytes for t in inner)


def test_edges_are_narrow_and_outputs_are_tvms() -> None:
    mod = network(residual)
    _, plan = assert_planned_right(mod, narrow="always")
    assert widest_bytes(graph_of(mod, "always")) == 8 * 8 * 16
    assert widest_bytes(graph_of(mod, "never")) == 4 * 8 * 8 * 16
    assert plan.arena_nbytes <= 3 * 8 * 8 * 16


def test_no_kernel_keeps_scratch_in_the_arena() -> None:
    graph = graph_of(network(residual), "always")
    assert not [op.name for op in graph.ops if op.workspace > 8 * 8 * 16]


def test_weights_stay_narrow() -> None:
    mod = network(residual)
    weights = [sum(t.nbytes for t in graph_of(mod, n).tensors if t.kind == "weight") for n in ("always", "never")]
    assert weights[0] < 0.3 * weights[1]


def test_a_transposed_weight_is_folded_before_it_is_dequantized() -> None:
    from tvm import relax

    def build(net, x):
        values = relax.const(np.arange(5 * 1024).reshape(5, 1024).astype("int8"), "int8")
        turned = net.emit(relax.op.permute_dims(values))
        weight = net.emit(relax.op.dequantize(turned, relax.const(0.01, "float32"), relax.const(0, "int8")))
        flat = net.emit(relax.op.reshape(net.dequantized(x), (1, 1024)))
        return net.quantized(net.emit(relax.op.matmul(flat, weight)))

    mod = network(build)
    assert_planned_right(mod, narrow="always")
    sizes = sorted(t.nbytes for t in graph_of(mod, "always").tensors if t.kind == "weight")
    assert sizes[-1] == 5 * 1024


def test_unsigned_tensors_are_narrow_too() -> None:
    mod = network(lambda net, x: net.convolution(net.convolution(x)), dtype="uint8")
    assert_planned_right(mod, narrow="always")
    assert widest_bytes(graph_of(mod, "always")) == 8 * 8 * 16


def _half_network() -> tvm.IRModule:
    from tvm import relax

    builder, x = relax.BlockBuilder(), relax.Var("x", relax.TensorType((64, 64), "float16"))
    with builder.function("main", [x]):
        with builder.dataflow():
            y = x
            for _ in range(3):
                wide = builder.emit(relax.op.astype(y, "float32"))
                wide = builder.emit(relax.op.matmul(wide, wide))
                y = builder.emit(relax.op.astype(builder.emit(relax.op.tanh(wide)), "float16"))
            result = builder.emit_output(y)
        builder.emit_func_output(result)
    return builder.get()


def test_half_precision_tensors_lie_between_kernels() -> None:
    mod = _half_network()
    inputs = [np.random.default_rng(0).standard_normal((64, 64)).astype("float16") * np.float16(0.1)]
    assert_planned_right(mod, inputs, narrow="always")
    assert widest_bytes(graph_of(mod, "always")) == 64 * 64 * 2


FOREIGN = tvm.target.Target({"kind": "llvm", "mtriple": "riscv64-linux-gnu", "mattr": ["+m", "+a", "+f", "+d"]})


def test_half_precision_kernels_stay_whole_where_rounding_cannot_be_checked() -> None:
    choices = narrowing.lowered_choices(_half_network(), FOREIGN, PlanOptions(narrow="always"))
    assert [one is choices.wide for one in choices.modules] == [True]
    assert "results could differ" in choices.notes[0]


def test_a_cut_whose_time_is_unknown_is_said() -> None:
    notes = narrowing.lowered_choices(network(residual), FOREIGN, PlanOptions()).notes
    assert "cannot be measured here" in notes[0]
    assert not narrowing.lowered_choices(network(residual), FOREIGN, PlanOptions(budget="90%")).notes


def test_a_float_model_is_lowered_as_before() -> None:
    from tests.passes.relax.networks import residual_network

    mod = residual_network()
    assert not has_narrow_tensors(mod)
    assert tvm_ffi.structural_equal(lower(mod, HOST, "always")[0], lower(mod, HOST, "never")[0])


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10_000), steps=st.integers(2, 6))
def test_random_quantised_networks_keep_their_outputs(seed: int, steps: int) -> None:
    assert_planned_right(random_network(seed, steps), modes=("bytecode",), narrow="always")


@pytest.mark.parametrize("cpu", ["haswell"])
def test_fused_multiplication_changes_no_result(cpu: str) -> None:
    target = tvm.target.Target({"kind": "llvm", "mcpu": cpu})
    assert fuses_multiply_add(target)
    for seed in range(1):
        mod = random_network(seed, 3)
        planned = compile_module(mod, target, PlanOptions(narrow="always", time_limit=2.0)).planned.mod
        testing.assert_same_outputs(mod, planned, target=target, seeds=(0,), exec_modes=("bytecode",))


@pytest.mark.parametrize(("price", "cut"), [(0.9, True), (None, True), (1.5, False)])
def test_by_default_kernels_are_cut_where_that_costs_no_time(monkeypatch, price: float | None, cut: bool) -> None:
    monkeypatch.setattr(narrowing, "narrow_price", lambda *_: price)
    plan = compile_module(network(residual), HOST, PlanOptions(time_limit=2.0)).plan
    assert (plan.arena_nbytes <= 3 * 8 * 8 * 16) is cut
    assert any("narrow" in note for note in plan.notes) is not cut


def test_a_budget_is_met_by_narrow_kernels_that_cost_time(monkeypatch) -> None:
    monkeypatch.setattr(narrowing, "narrow_price", lambda *_: 1.5)
    options = PlanOptions(time_limit=4.0, budget=3 * 8 * 8 * 16)
    assert compile_module(network(residual), HOST, options).plan.arena_nbytes <= 3 * 8 * 8 * 16
    roomy = PlanOptions(time_limit=4.0, budget=10**6)
    assert compile_module(network(residual), HOST, roomy).plan.arena_nbytes > 3 * 8 * 8 * 16


def test_a_plan_is_followed_whichever_form_it_was_made_for(monkeypatch) -> None:
    monkeypatch.setattr(narrowing, "narrow_price", lambda *_: pytest.fail("measured"))
    for narrow in ("always", "never"):
        made = compile_module(network(residual), HOST, PlanOptions(time_limit=2.0, narrow=narrow)).plan
        followed = compile_module(network(residual), HOST, PlanOptions(time_limit=2.0, plan=made)).plan
        assert followed.arena_nbytes == made.arena_nbytes


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(MemoptError, match="expected one of auto, always, never"):
        lower(network(residual), HOST, "sometimes")


def test_a_residual_addition_joins_its_convolution_and_overwrites_the_other_operand() -> None:
    def build(net, x):
        first = net.convolution(x)
        return net.addition(first, net.convolution(first, relu=False))

    mod = network(build)
    _, plan = assert_planned_right(mod, narrow="always", io_in_arena="inputs,outputs", overlap="never")
    assert len(graph_of(mod, "always").ops) == 2
    assert plan.arena_nbytes == 2 * 8 * 8 * 16


def test_an_addition_to_itself_and_a_shared_sum_are_left_apart() -> None:
    def build(net, x):
        first = net.convolution(x)
        total = net.addition(first, first)
        return net.addition(net.convolution(total, relu=False), net.addition(total, x))

    assert_planned_right(network(build), narrow="always")

"""Whole quantised networks in integers: planned outputs, narrow edges and weights, and when it is the default."""

from __future__ import annotations

import os

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.passes.relax.narrow.quantised import network, random_network, residual
from tests.passes.relax.running import HOST
from tvm_memopt import testing
from tvm_memopt.frontends import random_inputs
from tvm_memopt.graph import Graph, Plan
from tvm_memopt.passes.build import build_unmodified
from tvm_memopt.passes.compile import compile_module
from tvm_memopt.passes.relax.integer.rewrite import integer_arithmetic
from tvm_memopt.passes.relax.planning import PlanOptions
from tvm_memopt.runtime import run_module
from tvm_memopt.targets import builtin_devices

EXAMPLES = int(os.environ.get("TVM_MEMOPT_QUANTISED_EXAMPLES", "3"))
"""Random networks to try."""


def planned(mod: tvm.IRModule, target: tvm.target.Target = HOST, **options: object) -> tuple[tvm.IRModule, Plan, Graph]:
    found = compile_module(mod, target, PlanOptions(time_limit=2.0, narrow="always", **options))
    function = found.planned.functions["main"]
    return found.planned.mod, function.plan, function.graph


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None)
@given(seed=st.integers(0, 100_000), steps=st.integers(2, 6))
def test_random_networks_are_equal_in_both_modes(seed: int, steps: int) -> None:
    mod = random_network(seed, steps)
    for integer, expected in ((False, mod), (True, integer_arithmetic(mod).mod)):
        made, _, _ = planned(mod, integer=integer)
        testing.assert_valid(made)
        testing.assert_same_outputs(expected, made, seeds=(0,), exec_modes=("bytecode",))


def test_a_random_network_is_not_its_float_path() -> None:
    found = [run_module(build_unmodified(m, HOST), random_inputs(m, 0))[0] for m in both(random_network(4, 6))]
    difference = np.abs(found[0].astype(int) - found[1].astype(int))
    assert difference.max() <= 3


def both(mod: tvm.IRModule) -> list[tvm.IRModule]:
    return [mod, integer_arithmetic(mod).mod]


def test_edges_and_weights_are_as_narrow_as_in_floats() -> None:
    mod = network(residual)
    (_, whole, graph), (_, wide, floats) = (
        planned(mod, integer=i, io_in_arena="inputs,outputs") for i in (True, False)
    )
    assert whole.arena_nbytes == wide.arena_nbytes
    weights = [sum(t.nbytes for t in g.tensors if t.kind == "weight") for g in (graph, floats)]
    assert weights[0] <= weights[1] + 3 * 3 * 16 * 5  # biases, mantissas and exponents in place of scales


def test_a_residual_addition_joins_its_convolution_on_a_target_that_fuses_multiplication() -> None:
    target = tvm.target.Target({"kind": "llvm", "mcpu": "haswell"})
    mod = network(lambda net, x: net.addition(x, net.convolution(x, relu=False)))
    assert len(planned(mod, target, integer=True)[2].ops) == 1


def test_what_stays_in_floats_is_a_note_of_the_plan() -> None:
    assert any("nn.softmax (1)" in note for note in planned(network(residual), integer=True)[1].notes)


@pytest.mark.parametrize(("device", "integer"), [("cortex-m3", True), ("riscv32", True), ("cortex-m4", False)])
def test_it_is_the_default_where_there_is_no_fpu(device: str, integer: bool) -> None:
    profile = builtin_devices()[device]
    plan = planned(network(residual), tvm.target.Target(dict(profile.target)), device=profile)[1]
    assert any("integer arithmetic" in note for note in plan.notes) is integer


def test_it_is_off_where_that_is_asked_for_and_in_a_float_model() -> None:
    from tests.passes.relax.networks import residual_network

    target = tvm.target.Target(dict(builtin_devices()["cortex-m3"].target))
    assert not planned(network(residual), target, integer=False)[1].notes
    assert not [n for n in planned(residual_network(), target, integer=True)[1].notes if "integer" in n]

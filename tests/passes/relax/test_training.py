"""Forward and backward pass in one function: planned as it stands, and with activations computed again."""

from __future__ import annotations

import pytest
import tvm
from tvm import relax

from benchmarks.zoo import training
from tests.passes.relax.running import HOST, MODES, extracted, optimised
from tvm_memopt import testing
from tvm_memopt.graph import find_violations, given_order, peak_live
from tvm_memopt.passes.build import build_unmodified
from tvm_memopt.runtime import measure_memory, outputs_equal, poison_run, run_module
from tvm_memopt.solvers import Deadline, Request, plan_for_order

QUICK = tvm.target.Target({"kind": "llvm", "opt-level": 0})  # LLVM's optimiser takes most of the time of a build
NETWORKS = {
    "resnet": training.resnet_train(batch=2, side=8, channels=4, stages=2, blocks=1, classes=5),
    "unet": training.unet_train(batch=2, side=8, channels=4, depth=1, classes=3),
    "transformer": training.transformer_train(batch=2, tokens=6, width=8, heads=2, blocks=1, classes=5),
}
MLP = training.mlp_train(batch=64, features=16, width=16, layers=4, classes=5)
INPUTS = MLP.draw()
LATER_PASSES = {
    "default": relax.get_pipeline("default"),
    "fusing": relax.get_default_pipeline(HOST),
    "common subexpressions first": tvm.transform.Sequential(
        [
            relax.transform.EliminateCommonSubexpr(),
            relax.transform.DeadCodeElimination(),
            relax.get_default_pipeline(HOST),
        ]
    ),
}


def recomputing_schedule(graph, repeats):
    """The given order with up to ``repeats`` ops once more, each where it takes the most off the peak.

    A repeat of the op that makes some tensor stands right in front of a later reader of that tensor, where
    everything that the op reads has been computed.
    """
    schedule = list(given_order(graph))
    for _ in range(repeats):
        tried = [
            (peak_live(graph, longer), graph.ops[producer].cost, step, longer)
            for step, producer in _late_reads(graph, schedule)
            for longer in [[*schedule[:step], producer, *schedule[step:]]]
        ]
        peak, _, _, longer = min(tried, key=lambda found: found[:3])
        if peak >= peak_live(graph, schedule):
            break
        schedule = longer
    return schedule


def _late_reads(graph, schedule):
    """(step, producer) of each read that comes later than right after the producer's last run."""
    for step, op in enumerate(schedule):
        for tensor in graph.reads[op]:
            producer = graph.producer[tensor]
            last_run = max(i for i, earlier in enumerate(schedule[:step]) if earlier == producer)
            if last_run < step - 1 and graph.ops[producer].recomputable:
                yield step, producer


@pytest.fixture(scope="module")
def mlp():
    return extracted(MLP.load())


@pytest.fixture(scope="module")
def recomputed(mlp):
    schedule = recomputing_schedule(mlp.graph, repeats=6)
    plan = plan_for_order(mlp.graph, schedule, Request(time_limit=1), Deadline(1))
    assert not find_violations(mlp.graph, plan)
    return plan


@pytest.fixture(scope="module")
def expected():
    return run_module(build_unmodified(MLP.load(), HOST), INPUTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_training_step_is_planned_and_keeps_its_loss_and_gradients(name):
    mod, inputs = NETWORKS[name].load(), NETWORKS[name].draw()
    planned, plan = optimised(mod, QUICK)
    testing.assert_valid(planned)
    built = relax.build(planned, QUICK)
    outputs = run_module(built, inputs)
    assert len(outputs) == 1 + len(NETWORKS[name].parameters)
    assert outputs_equal(outputs, run_module(build_unmodified(mod, QUICK), inputs))
    measured = measure_memory(built, inputs)
    assert measured.arena_nbytes == measured.storage_nbytes == plan.arena_nbytes
    assert measured.workspace_requested_nbytes == 0


def test_every_kernel_of_a_training_step_may_be_repeated(mlp):
    for extraction in (mlp, *(extracted(network.load()) for network in NETWORKS.values())):
        kinds = {operation.kind for operation in extraction.operations}
        assert kinds <= {"kernel", "view"}
        assert all(op.recomputable for op in extraction.graph.ops)
        assert extraction.notes == ()


def test_recomputing_activations_takes_bytes_off_the_peak_and_costs_time(mlp, recomputed):
    once = plan_for_order(mlp.graph, given_order(mlp.graph), Request(time_limit=1), Deadline(1))
    assert recomputed.arena_nbytes < once.arena_nbytes
    assert recomputed.cost > recomputed.base_cost == once.cost
    assert len(recomputed.schedule) > len(set(recomputed.schedule)) == len(mlp.graph.ops)


@pytest.mark.parametrize("mode", MODES)
def test_a_recomputing_step_gives_equal_gradients_in_the_planned_arena(mode, recomputed, expected):
    planned, used = optimised(MLP.load(), plan=recomputed)
    assert used == recomputed
    built = relax.build(planned, HOST, exec_mode=mode)
    assert outputs_equal(run_module(built, INPUTS), expected)
    measured = measure_memory(built, INPUTS)
    assert measured.arena_nbytes == measured.storage_nbytes == recomputed.arena_nbytes


@pytest.mark.slow
@pytest.mark.parametrize("passes", LATER_PASSES)
def test_no_later_pass_merges_or_drops_a_repeat(passes, mlp, recomputed, expected):
    planned, _ = optimised(MLP.load(), plan=recomputed)
    built = relax.build(planned, HOST, relax_pipeline=LATER_PASSES[passes])
    found = poison_run(built, INPUTS, testing.dead_after(mlp.graph, recomputed), expected=expected)
    assert found.clean
    planned_calls = [mlp.operations[op].callee for op in recomputed.schedule if mlp.operations[op].callee]
    assert [name.removesuffix("_inplace") for name in found.kernels] == planned_calls
    assert len(found.kernels) > len(mlp.graph.ops)

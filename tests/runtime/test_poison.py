import numpy as np
import pytest

from tvm_memopt.errors import MemoptError
from tvm_memopt.runtime.execute import run_module
from tvm_memopt.runtime.poison import poison_run

from .arena_modules import attention_block, build_with_arena, conv_chain

KERNELS = ("fused_conv2d_relu", "fused_conv2d_relu_add", "conv2d", "softmax", "sum")


@pytest.fixture(params=["conv", "attention"])
def network(request, conv_builds, attention_builds):
    return conv_builds if request.param == "conv" else attention_builds


def test_a_right_plan_survives_poison(network):
    build = network.arena["bytecode"]
    result = poison_run(build.path, network.inputs, build.dead_after)
    assert result.clean
    assert result.arena_nbytes == build.arena_nbytes
    assert result.poisoned_nbytes == sum(lifetime.nbytes for lifetime in build.lifetimes)


def test_every_lifetime_cut_by_one_use_is_caught(network):
    build = network.arena["bytecode"]
    for cut in (lifetime for lifetime in build.lifetimes if lifetime.last > lifetime.first):
        kept = [lifetime.dead_after for lifetime in build.lifetimes if lifetime is not cut]
        result = poison_run(build.path, network.inputs, [*kept, (cut.last - 1, cut.offset, cut.nbytes)])
        assert result.differing, cut
        assert not result.conflicts


def test_an_arena_planned_with_a_cut_lifetime_is_caught_by_its_addresses(tmp_path, attention_builds):
    expected = run_module(attention_builds.stock["bytecode"], attention_builds.inputs)
    build = build_with_arena(attention_block(), tmp_path / "cut.so", cut=0)
    for events in (build.dead_after, None):
        result = poison_run(build.path, attention_builds.inputs, events, expected=expected)
        assert result.differing == (0,)
        assert result.conflicts
        assert "live bytes" in str(result.conflicts[0])


def test_the_trace_alone_finds_last_uses_in_any_build(network):
    for module in (network.stock["bytecode"], network.arena["bytecode"].path):
        result = poison_run(module, network.inputs)
        assert result.clean
        assert result.poisoned_nbytes >= network.arena["bytecode"].arena_nbytes


def test_kernels_are_counted_in_the_order_of_their_calls(conv_builds):
    assert poison_run(conv_builds.stock["bytecode"], conv_builds.inputs).kernels == KERNELS


def test_a_caller_owned_arena_is_poisoned_too(tmp_path, conv_builds):
    build = build_with_arena(conv_chain(), tmp_path / "caller.so", caller_owned=True)
    inputs = [*conv_builds.inputs, np.zeros(build.arena_nbytes, "uint8")]
    expected = run_module(conv_builds.stock["bytecode"], conv_builds.inputs)
    for events in (build.dead_after, None):
        result = poison_run(build.path, inputs, events, arena_input=1, expected=expected)
        assert result.clean
        assert result.kernels == KERNELS
        assert result.arena_nbytes == build.arena_nbytes
    first = build.lifetimes[0]
    early = [(first.last - 1, first.offset, first.nbytes)]
    assert poison_run(build.path, inputs, early, arena_input=1).differing


def test_a_process_of_its_own_gives_the_same_result(conv_builds):
    build = conv_builds.arena["bytecode"]
    last = build.lifetimes[-1]
    early = [(last.first, last.offset, last.nbytes)]
    expected = run_module(conv_builds.stock["bytecode"], conv_builds.inputs)
    apart = poison_run(build.path, conv_builds.inputs, early, expected=expected, isolate=True)
    assert apart == poison_run(build.path, conv_builds.inputs, early, expected=expected)
    assert apart.differing


def test_events_outside_the_run_or_the_arena_are_refused(conv_builds):
    build = conv_builds.arena["bytecode"]
    for event, words in (
        ((5, 0, 64), "expected 0 to 4"),
        ((-1, 0, 64), "expected 0 to 4"),
        ((0, build.arena_nbytes - 32, 64), "outside the arena"),
        ((0, -64, 64), "outside the arena"),
    ):
        with pytest.raises(MemoptError, match=words):
            poison_run(build.path, conv_builds.inputs, [event])
    with pytest.raises(MemoptError, match="there are 1 inputs"):
        poison_run(build.path, conv_builds.inputs, arena_input=1)


def test_native_code_is_refused(conv_builds):
    with pytest.raises(MemoptError, match="bytecode"):
        poison_run(conv_builds.arena["compiled"].path, conv_builds.inputs)

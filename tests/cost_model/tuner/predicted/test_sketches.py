"""Sketches rebuild what they built, and their decisions can be changed and handed on."""

import math

import numpy as np
import pytest

pytest.importorskip("tvm.s_tir")
import tvm
import tvm_ffi
from tvm import te, tirx

from tvm_memopt.cost_model.measure.builds import host_target
from tvm_memopt.cost_model.measure.intrinsics import cpu_intrinsics
from tvm_memopt.cost_model.tuner.predicted.mutation import mixed, mutated
from tvm_memopt.cost_model.tuner.predicted.sketches import Sketch, fitted, sketches


def _convolution(width: int) -> tvm.IRModule:
    """A padded convolution of one axis: its padding can be computed at any loop."""
    x, w = te.placeholder((8, width), name="x"), te.placeholder((16, 8, 3), name="w")
    pad = te.compute(
        (8, width + 2),
        lambda c, i: tirx.if_then_else(tirx.all(i >= 1, i <= width), x[c, i - 1], tirx.const(0.0, "float32")),
        name="pad",
    )
    c, k = te.reduce_axis((0, 8), name="c"), te.reduce_axis((0, 3), name="k")
    y = te.compute((16, width), lambda o, i: te.sum(pad[c, i + k] * w[o, c, k], axis=[c, k]), name="y")
    return tvm.IRModule({"main": te.create_prim_func([x, w, y])})


def _sketches(width: int) -> list[Sketch]:
    with cpu_intrinsics():
        return sketches(_convolution(width), host_target(1))


def test_decisions_rebuild_the_same_program() -> None:
    for sketch in _sketches(64):
        built = [one for seed in range(6) if (one := sketch.build(None, seed)) is not None]
        assert built
        for one in built:
            again = sketch.build(one.decisions, 77)
            assert again is not None
            assert again.decisions == one.decisions
            assert tvm_ffi.structural_equal(again.schedule.mod, one.schedule.mod)


def test_the_trace_of_a_schedule_makes_its_program_without_the_sketch() -> None:
    mod = _convolution(64)
    one = _sketches(64)[-1].build(None, 5)
    assert one is not None
    replayed = tvm.s_tir.Schedule(mod)
    one.schedule.trace.apply_to_schedule(replayed, remove_postproc=False)
    assert tvm_ffi.structural_equal(replayed.mod, one.schedule.mod)


def test_one_thread_gets_no_parallel_loops_and_two_do() -> None:
    found = {}
    for threads in (1, 2):
        with cpu_intrinsics():
            every = sketches(_convolution(64), host_target(threads))
        built = [one for sketch in every for seed in range(4) if (one := sketch.build(None, seed)) is not None]
        found[threads] = any("T.parallel" in one.schedule.mod.script() for one in built)
    assert found == {1: False, 2: True}


def test_the_padding_is_computed_at_different_loops() -> None:
    sketch = next(one for one in _sketches(64) if one.slots[-1].kind == "SampleComputeLocation")
    first = sketch.build(None, 0)
    assert first is not None
    places = [(*first.decisions[:-1], (place,)) for place in (-1, 0, 1)]
    scripts = {b.schedule.mod.script() for p in places if (b := sketch.build(p, 0)) is not None}
    assert len(scripts) > 1


def test_children_keep_the_extents() -> None:
    rng = np.random.default_rng(0)
    sketch = _sketches(64)[0]
    one, other = (sketch.build(None, seed) for seed in (1, 2))
    assert one is not None
    assert other is not None
    extents = [math.prod(d) for d, s in zip(one.decisions, sketch.slots, strict=True) if s.kind == "SamplePerfectTile"]
    children = [mutated(one.decisions, sketch.slots, rng) for _ in range(50)]
    children.append(mixed(one.decisions, other.decisions, rng))
    assert any(child != one.decisions for child in children)
    for child in children:
        tiles = [d for d, s in zip(child, sketch.slots, strict=True) if s.kind == "SamplePerfectTile"]
        assert [math.prod(tile) for tile in tiles] == extents


def test_decisions_fit_a_kernel_of_another_width() -> None:
    narrow, wide = _sketches(64)[0], _sketches(96)[0]
    assert narrow.signature == wide.signature
    given, like = narrow.build(None, 3), wide.build(None, 0)
    assert given is not None
    assert like is not None
    moved = wide.build(fitted(given.decisions, like.decisions, wide.slots), 0)
    assert moved is not None
    assert moved.decisions[0] == given.decisions[0]  # the channels are as many

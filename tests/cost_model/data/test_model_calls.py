import numpy as np
import pytest

pytest.importorskip("tvm", reason="calls are those of TVM's modules")

import tvm

from tests.passes.relax.networks import small_network
from tvm_memopt.cost_model.data.model_calls import measure_calls, sample_of
from tvm_memopt.cost_model.measure.builds import host_target
from tvm_memopt.passes.build import build_unmodified
from tvm_memopt.passes.relax.lowering import passes_before_plan


def test_every_kernel_call_of_a_model_is_timed_in_its_place():
    target, mod = host_target(1), small_network()
    with target:
        lowered = tvm.transform.Sequential(passes_before_plan(target))(mod)
    plain = sample_of(lowered, target, "small")
    inputs = [np.random.default_rng(0).standard_normal((1, 4, 10, 10)).astype(np.float32)]
    seconds = measure_calls(build_unmodified(mod, target), inputs, set(plain.calls.names), repeats=2)
    sample = sample_of(lowered, target, "small", seconds)
    assert len(sample.calls) == len(seconds) > 1
    assert (sample.calls.seconds >= 0).all()
    assert np.isnan(plain.calls.seconds).all()
    assert len(sample.graphs) == len(sample.calls.names)
    assert sample.calls.edges.shape[1] >= len(sample.calls) - 1
    assert (sample.calls.edges[0] < sample.calls.edges[1]).all()

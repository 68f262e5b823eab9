"""Random functions with nested Ifs against numpy: TVM's own build crashes on many of them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from tests.passes.relax.branches.random_branches import random_branches
from tests.passes.relax.running import HOST, outputs, random_arrays
from tvm_memopt.graph import find_violations
from tvm_memopt.passes.build import build_planned
from tvm_memopt.passes.relax.planning import PlanOptions
from tvm_memopt.runtime import poison_run

OPTIONS = ({}, {"fold_data_movement": "never"}, {"inplace": False}, {"caller_arena": True})


@pytest.mark.parametrize("seed", range(12))
def test_every_way_through_the_branches_is_right_and_clean(seed):
    module, computed = random_branches(seed)
    options = OPTIONS[seed % len(OPTIONS)]
    build = build_planned(module, HOST, PlanOptions(time_limit=0.4, **options))
    whole = build.planned.functions["main"]
    assert not [v for plan in whole.with_branches() for v in find_violations(plan.graph, plan.plan)]
    x = random_arrays([(32, 32)], seed)[0] / np.float32(4)
    arena = [np.zeros(whole.plan.arena_nbytes, "uint8")] if "caller_arena" in options else []
    for c, d in product((True, False), repeat=2):
        inputs = [x, np.array(c), np.array(d)]
        expected = computed(x.astype("float64"), c, d)
        (found,) = outputs(build.executable, [*inputs, *arena])
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * max(1, np.abs(expected).max()))
        assert arena or poison_run(build.executable, inputs).clean

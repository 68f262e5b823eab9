"""Random DAGs, ten functions in one module, against TVM's own build."""

from __future__ import annotations

import pytest
from tvm import relax

from tests.passes.relax import networks
from tests.passes.relax.running import HOST, random_arrays
from tvm_memopt import testing
from tvm_memopt.graph import find_violations
from tvm_memopt.passes.build import build_unmodified
from tvm_memopt.passes.compile import lower, plan_lowered
from tvm_memopt.passes.relax.planning import PlanOptions
from tvm_memopt.runtime import outputs_equal, run_module


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "side", "mode", "options"),
    [
        (0, 20, "bytecode", {}),
        (10, 12, "compiled", {"fold_data_movement": "always"}),
        (20, 17, "bytecode", {"fold_data_movement": "never"}),
    ],
)
def test_random_networks_keep_their_outputs(first, side, mode, options):
    module = networks.together([networks.random_network(seed, side) for seed in range(first, first + 10)])
    inputs = random_arrays([(side, side)] * 2)
    lowered, target = lower(module, HOST)
    with target:
        planned = plan_lowered(lowered, target, PlanOptions(time_limit=0.5, **options))
    assert len(planned.functions) == 10
    for function in planned.functions.values():
        assert not find_violations(function.graph, function.plan)
    found = relax.build(planned.mod, HOST, exec_mode=mode)
    expected = build_unmodified(module, HOST, exec_mode=mode)
    for name in planned.functions:
        same = outputs_equal(*(run_module(m, inputs, function=name) for m in (found, expected)))
        assert same, f"{name} of the seeds from {first}"
    assert set(testing.arena_nbytes(planned.mod).values()) == {
        function.plan.arena_nbytes for function in planned.functions.values()
    }

from __future__ import annotations

import pytest

from tests.passes.relax import networks
from tests.passes.relax.running import HOST, random_arrays
from tests.passes.relax.test_apply import SHAPES
from tvm_memopt.passes.build import build_unmodified
from tvm_memopt.passes.compile import lower
from tvm_memopt.passes.relax.baseline import baseline_plan
from tvm_memopt.runtime import measure_memory


@pytest.mark.parametrize("name", ["branches"])
def test_tvms_own_plan_is_what_its_build_allocates(name):
    module = networks.NETWORKS[name]()
    lowered, target = lower(module, HOST)
    found = baseline_plan(lowered, target)
    measured = measure_memory(build_unmodified(module, HOST), random_arrays(SHAPES[name]))
    assert found.storage_nbytes == measured.storage_nbytes
    assert found.total_nbytes == measured.storage_nbytes + measured.returned_nbytes

from __future__ import annotations

import pytest

from tvm_memopt.passes.build import build_unmodified
from tvm_memopt.passes.compile import lower
from tvm_memopt.passes.relax.baseline import baseline_plan
from tvm_memopt.runtime import measure_memory

from . import networks
from .running import HOST, random_arrays
from .test_apply import SHAPES


@pytest.mark.parametrize("name", ["branches"])
def test_tvms_own_plan_is_what_its_build_allocates(name):
    module = networks.NETWORKS[name]()
    lowered, target = lower(module, HOST)
    found = baseline_plan(lowered, target)
    measured = measure_memory(build_unmodified(module, HOST), random_arrays(SHAPES[name]))
    assert found.storage_nbytes == measured.storage_nbytes
    assert found.total_nbytes == measured.storage_nbytes + measured.returned_nbytes

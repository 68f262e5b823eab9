from __future__ import annotations

import pytest
from tvm import relax

from tvm_memopt.api import lower
from tvm_memopt.passes.relax.baseline import baseline_plan
from tvm_memopt.passes.relax.build import build_unmodified
from tvm_memopt.runtime import measure_memory

from . import networks
from .running import HOST, optimised, random_arrays
from .test_apply import SHAPES


@pytest.mark.parametrize("name", ["residual", "branches"])
def test_tvms_own_plan_is_what_its_build_allocates(name):
    module = networks.NETWORKS[name]()
    lowered, target = lower(module, HOST)
    found = baseline_plan(lowered, target)
    measured = measure_memory(build_unmodified(module, HOST), random_arrays(SHAPES[name]))
    assert found.storage_nbytes == measured.storage_nbytes
    assert found.total_nbytes == measured.storage_nbytes + measured.returned_nbytes


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_a_planned_build_takes_no_more_memory_than_tvms(name):
    module = networks.NETWORKS[name]()
    inputs = random_arrays(SHAPES[name])
    planned = measure_memory(relax.build(optimised(module)[0], HOST), inputs)
    stock = measure_memory(build_unmodified(module, HOST), inputs)
    assert planned.peak_nbytes <= stock.peak_nbytes

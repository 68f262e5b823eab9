from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="session")
def light_intrinsics():
    """TuneContexts that tests make themselves import the intrinsics of x86 alone."""
    pytest.importorskip("tvm.s_tir")
    from tvm_memopt.cost_model.measure.intrinsics import cpu_intrinsics

    with cpu_intrinsics():
        yield

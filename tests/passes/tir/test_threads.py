"""Parallel loops on targets with one core and with more."""

import pytest

pytest.importorskip("tvm.tirx")
import tvm
import tvm_ffi
from tvm import te, tirx

from tvm_memopt.passes.tir.threads import fit_threads, thread_count, with_fitted_threads
from tvm_memopt.passes.tir.workspace import kernel_forms

ONE, TWO = (tvm.target.Target({"kind": "llvm", "num-cores": cores}) for cores in (1, 2))


def _kernel(*, parallel: bool) -> tvm.IRModule:
    """Rows of a temporary, computed and read within one iteration of the outer loop."""
    from tvm import s_tir

    x = te.placeholder((16, 512), name="x")
    doubled = te.compute((16, 512), lambda i, j: x[i, j] * 2, name="doubled")
    result = te.compute((16, 512), lambda i, j: doubled[i, j] + doubled[i, 511 - j], name="result")
    schedule = s_tir.Schedule(tvm.IRModule({"main": te.create_prim_func([x, result])}))
    block = schedule.get_sblock("result")
    outer = schedule.get_loops(block)[0]
    schedule.compute_at(schedule.get_sblock("doubled"), outer)
    if parallel:
        schedule.parallel(outer)
    return schedule.mod


def _kinds(mod: tvm.IRModule) -> set[int]:
    found: set[int] = set()
    tvm_ffi.structural_walk(mod["main"].body, [(tirx.For, lambda loop: found.add(int(loop.kind)))])
    return found


def test_a_target_without_cores_has_one() -> None:
    assert thread_count(tvm.target.Target("llvm")) == 1
    assert thread_count(TWO) == 2


def test_one_core_makes_parallel_loops_serial() -> None:
    fitted = fit_threads(_kernel(parallel=True), ONE)
    assert _kinds(fitted) == {int(tirx.ForKind.SERIAL)}
    assert int(tirx.ForKind.PARALLEL) in _kinds(fit_threads(_kernel(parallel=True), TWO))


def test_scratch_of_a_serial_loop_is_planned_and_of_a_parallel_one_is_not() -> None:
    mod = _kernel(parallel=True)
    assert kernel_forms({"main": mod["main"]})["main"].fast.kept_nbytes == 2048
    fitted = kernel_forms({"main": fit_threads(mod, ONE)["main"]})["main"].fast
    assert (fitted.kept_nbytes, fitted.workspace_nbytes) == (0, 2048)


def test_only_scheduled_kernels_change() -> None:
    mod = _kernel(parallel=True)
    assert with_fitted_threads(mod, mod, ONE)["main"].same_as(mod["main"])
    assert _kinds(with_fitted_threads(_kernel(parallel=False), mod, ONE)) == {int(tirx.ForKind.SERIAL)}

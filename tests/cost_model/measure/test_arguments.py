import numpy as np
import pytest

pytest.importorskip("tvm", reason="kernels are timed with it")

import tvm
from tvm import te

from tvm_memopt.cost_model.measure.arguments import remote_arguments, timing_arguments
from tvm_memopt.cost_model.measure.builds import build, host_target


def made(formula):
    """Values of x, of whole numbers and of formula(x) when a kernel of the three is timed."""
    x, picked = te.placeholder((64,), name="x"), te.placeholder((64,), "int32", name="picked")
    y = te.compute((64,), lambda i: formula(x[i]), name="y")
    mod = tvm.IRModule({"main": te.create_prim_func([x, picked, y])})
    arguments = timing_arguments(build(mod, host_target(1))["main"], mod["main"].params)
    return [argument.numpy() for argument in arguments]


def test_floats_have_both_signs_so_that_branches_are_missed_as_in_a_model():
    x, picked, y = made(lambda value: value * 0.5)
    assert 16 < (x < 0).sum() < 48
    assert np.abs(x).min() >= 0.5
    assert np.abs(x).max() <= 1.5
    assert picked.min() >= 0
    assert picked.max() < 10
    assert (y == x * np.float32(0.5)).all()  # it has run


def test_a_kernel_that_takes_roots_gets_numbers_above_zero():
    x, _, _ = made(te.sqrt)
    assert x.min() >= 0.5
    assert x.max() <= 1.5


def test_the_same_each_time():
    assert all((a == b).all() for a, b in zip(made(te.exp), made(te.exp), strict=True))


def test_a_device_behind_rpc_gets_both_signs_too():
    kinds = [("TENSOR", "float32", (8, 8)), ("TENSOR", "int8", (4,))]
    first, second = remote_arguments(None, tvm.cpu(), kinds, 2)
    assert [(one.numpy().shape, one.numpy().dtype.name) for one in first] == [((8, 8), "float32"), ((4,), "int8")]
    assert 16 < (first[0].numpy() < 0).sum() < 48
    assert all((a.numpy() == b.numpy()).all() for a, b in zip(first, second, strict=True))

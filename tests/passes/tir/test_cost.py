from __future__ import annotations

import json
import math

import pytest
import tvm
from tvm import te, topi

from tests.passes.tir.running import HOST
from tvm_memopt.errors import MemoptError
from tvm_memopt.passes.tir import cost
from tvm_memopt.targets import builtin_devices


def matmul(size: int, dtype: str = "float32"):
    x = te.placeholder((size, size), name="x", dtype=dtype)
    y = te.placeholder((size, size), name="y", dtype=dtype)
    return te.create_prim_func([x, y, topi.nn.matmul(x, y)])


def relu(count: int, dtype: str = "float32"):
    x = te.placeholder((count,), name="x", dtype=dtype)
    return te.create_prim_func([x, topi.nn.relu(x)])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "tvm-memopt" / "costs.json"


@pytest.fixture
def measurements(monkeypatch):
    """Names of the targets for which something was measured."""
    seen = []
    measure = cost._measure
    monkeypatch.setattr(cost, "_measure", lambda func, target: seen.append(str(target)) or measure(func, target))
    return seen


@pytest.mark.parametrize("device", builtin_devices().values(), ids=lambda device: device.name)
def test_the_roofline_grows_with_the_work(device):
    small, large = (cost.roofline_seconds(matmul(size), device.rates) for size in (8, 64))
    assert 0 < device.rates.call_seconds <= small < large


def test_the_roofline_of_moving_data_is_its_bytes():
    rates = builtin_devices()["host"].rates
    seconds = cost.roofline_seconds(relu(1_000_000), rates)
    assert math.isclose(seconds, 8_000_000 / rates.bytes_per_second + rates.call_seconds)


def test_a_kernel_with_symbolic_dimensions_has_a_positive_roofline():
    rows = te.var("n", dtype="int64")
    x = te.placeholder((rows, 64), name="x", dtype="float32")
    assert cost.roofline_seconds(te.create_prim_func([x, topi.nn.relu(x)]), builtin_devices()["host"].rates) > 0


def test_slower_devices_have_higher_estimates():
    kernels = {"a": matmul(32)}
    device = tvm.target.Target({"kind": "llvm", "mtriple": "thumbv7em-none-eabi"})
    assert cost.estimated_costs(kernels, device)["a"] > cost.estimated_costs(kernels, HOST)["a"]


def test_a_kernel_is_measured_once_and_then_read_from_disk(cache, measurements):
    first = cost.measured_costs({"a": matmul(32)}, HOST)
    assert len(measurements) == 1
    again = cost.measured_costs({"renamed": matmul(32).with_attr("global_symbol", "renamed")}, HOST)
    assert len(measurements) == 1
    assert first["a"] == again["renamed"] > 0
    assert json.loads(cache.read_text()) == {cost.cost_key(matmul(32), HOST): first["a"]}


def test_another_kernel_or_target_is_measured_anew(cache, measurements):
    cost.measured_costs({"a": relu(600)}, HOST)
    cost.measured_costs({"a": relu(601)}, HOST)
    cost.measured_costs({"a": relu(600)}, tvm.target.Target({"kind": "llvm", "opt-level": 1}))
    assert len(measurements) == 3
    assert len(json.loads(cache.read_text())) == 3


@pytest.mark.parametrize("content", ["{", "", "[1, 2]", '"text"', '{"key": null}', '{"key": "fast"}', "\x00"])
def test_a_damaged_cache_is_measured_anew_and_repaired(content, cache, measurements):
    cache.parent.mkdir()
    cache.write_text(content)
    found = cost.measured_costs({"a": relu(600)}, HOST)
    assert len(measurements) == 1
    assert json.loads(cache.read_text()) == {cost.cost_key(relu(600), HOST): found["a"]}


@pytest.mark.parametrize("value", ["NaN", "-1", "Infinity"])
def test_an_impossible_cost_in_the_cache_is_measured_anew(value, cache, measurements):
    cache.parent.mkdir()
    cache.write_text(f'{{"{cost.cost_key(relu(600), HOST)}": {value}}}')
    assert cost.measured_costs({"a": relu(600)}, HOST)["a"] > 0
    assert len(measurements) == 1


@pytest.mark.parametrize("dtype", ["int8", "bool", "float16", "bfloat16"])
def test_kernels_of_other_element_types_are_measured(dtype, cache):
    x = te.placeholder((600,), name="x", dtype=dtype)
    func = te.create_prim_func([x, topi.transpose(topi.reshape(x, (20, 30)))])
    assert cost.measured_costs({"a": func}, HOST)["a"] > 0


def test_kernels_of_symbolic_size_fall_back_to_the_roofline(cache, measurements):
    rows = te.var("n", dtype="int64")
    x = te.placeholder((rows, 64), name="x", dtype="float32")
    func = te.create_prim_func([x, topi.nn.relu(x)])
    assert cost.measured_costs({"a": func}, HOST) == cost.estimated_costs({"a": func}, HOST)
    assert measurements == []
    assert not cache.exists()


@pytest.mark.parametrize("target", [{"kind": "llvm", "mtriple": "hexagon-unknown-linux"}, {"kind": "c"}])
def test_a_target_that_does_not_run_here_is_refused_in_one_line(target, cache):
    with pytest.raises(MemoptError, match="cannot be measured on this machine") as raised:
        cost.measured_costs({"a": relu(600)}, tvm.target.Target(target))
    assert "\n" not in str(raised.value)

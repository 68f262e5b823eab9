"""Importing the cost model changes nothing in TVM."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("tvm")
pytest.importorskip("torch")

SCRIPT = """
import importlib, pkgutil, sys
import tvm
from tvm.s_tir import meta_schedule

def names():
    return {
        (name, key): id(value)
        for name, module in list(sys.modules.items())
        if name == "tvm" or name.startswith("tvm.")
        for key, value in list(vars(module).items())
    }

before, modules = names(), {name: id(module) for name, module in sys.modules.items()}
import tvm_memopt.cost_model
from tvm_memopt.cost_model import GCNCostModel
for found in pkgutil.walk_packages(tvm_memopt.cost_model.__path__, "tvm_memopt.cost_model."):
    if "libmemopt" not in found.name and not found.name.endswith("tuner.auto_scheduler"):  # of another TVM
        importlib.import_module(found.name)
after = names()
print([key for key, value in before.items() if after.get(key) != value])
print([name for name, value in modules.items() if id(sys.modules.get(name)) != value])
print([name for name in sys.modules if "tensor_intrin" in name and name not in modules])

from tvm_memopt.cost_model.measure.intrinsics import cpu_intrinsics
with cpu_intrinsics():
    print("tvm.s_tir.tensor_intrin" in sys.modules)
print("tvm.s_tir.tensor_intrin" in sys.modules or hasattr(tvm.s_tir, "tensor_intrin"))
"""


def test_importing_the_cost_model_changes_nothing_in_tvm():
    found = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    changed, replaced, intrinsics, inside, left = found.stdout.splitlines()
    assert (changed, replaced, intrinsics) == ("[]", "[]", "[]")
    assert (inside, left) == ("True", "False")

"""tvm-memopt: memory planning for Apache TVM. Order, placement and proof, in one arena.

The names below are imported on first use: ``graph`` and ``solvers`` work without TVM. If TVM is imported first,
importing this package also registers the Relax pipeline ``"memopt"``.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "BudgetError": "tvm_memopt.errors",
    "Device": "tvm_memopt.targets.rpc",
    "FrontendError": "tvm_memopt.errors",
    "Graph": "tvm_memopt.graph",
    "GraphError": "tvm_memopt.errors",
    "InfeasibleBudgetError": "tvm_memopt.errors",
    "MemoptError": "tvm_memopt.errors",
    "NoPlanError": "tvm_memopt.errors",
    "Plan": "tvm_memopt.graph",
    "PlanError": "tvm_memopt.errors",
    "Request": "tvm_memopt.solvers",
    "check": "tvm_memopt.graph",
    "cost_model": "tvm_memopt",
    "device_profile": "tvm_memopt.targets",
    "extract": "tvm_memopt.api",
    "import_model": "tvm_memopt.frontends",
    "optimize": "tvm_memopt.api",
    "pipeline": "tvm_memopt.api",
    "register_pipeline": "tvm_memopt.api",
    "relay": "tvm_memopt",
    "solve": "tvm_memopt.solvers",
}

_MODULES = ("cost_model", "relay")  # names that are modules

__all__ = list(_HOMES)  # the keys above as a list


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tvm_memopt' has no attribute {name!r}")
    if name in _MODULES:
        return importlib.import_module(f"{_HOMES[name]}.{name}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__


if "tvm.relax" in sys.modules and "tvm.tirx" in sys.modules:
    importlib.import_module("tvm_memopt.api").register_pipeline()

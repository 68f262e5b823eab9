"""Relay-era TVM (0.19 and earlier): plans inside ``relay.build``, and the graph network in the auto-scheduler.

The names are imported on first use. Raises MemoptError if the installed TVM has no Relay.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "GCNModel": "tvm_memopt.cost_model.tuner.auto_scheduler",
    "MemoryPlan": "tvm_memopt.passes.relay.instrument",
    "RelayBuild": "tvm_memopt.passes.relay.build",
    "RelayOptions": "tvm_memopt.passes.relay.planning",
    "RelayPlan": "tvm_memopt.passes.relay.planning",
    "StorageReport": "tvm_memopt.passes.relay.storage",
    "aot_executor": "tvm_memopt.passes.relay.build",
    "assign_storage": "tvm_memopt.passes.relay.storage",
    "build": "tvm_memopt.passes.relay.build",
    "build_unmodified": "tvm_memopt.passes.relay.build",
    "default_cost_model": "tvm_memopt.cost_model.tuner.auto_scheduler",
    "default_target": "tvm_memopt.passes.relay.targets",
    "make_target": "tvm_memopt.passes.relay.targets",
    "plan_module": "tvm_memopt.passes.relay.build",
    "usmp_config": "tvm_memopt.passes.relay.build",
}

__all__ = list(_HOMES)  # the keys above as a list


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tvm_memopt.relay' has no attribute {name!r}")
    from tvm_memopt.passes.versions import require_relay

    require_relay()
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__

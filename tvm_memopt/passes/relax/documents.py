"""Graphs and plans stored as JSON in function attributes."""

from __future__ import annotations

import json
from collections.abc import Mapping

import tvm

from tvm_memopt.graph import graph_to_json, plan_to_json
from tvm_memopt.passes.relax.plan_function import FunctionPlan

GRAPH_ATTR = "memopt.graph"
PLAN_ATTR = "memopt.plan"


def with_documents(mod: tvm.IRModule, functions: Mapping[str, FunctionPlan]) -> tvm.IRModule:
    """Store each planned function's graph and plan, as JSON, in its attributes."""
    documents = {
        name: {GRAPH_ATTR: compact(graph_to_json(f.graph)), PLAN_ATTR: compact(plan_to_json(f.plan))}
        for name, f in functions.items()
    }
    return with_attributes(mod, documents)


def with_attributes(mod: tvm.IRModule, attributes: Mapping[str, Mapping[str, str]]) -> tvm.IRModule:
    """Add ``attributes`` to the functions of ``mod``, by function name."""
    functions = {
        variable: function.with_attrs(dict(attributes[variable.name_hint]))
        if variable.name_hint in attributes
        else function
        for variable, function in mod.functions_items()
    }
    return tvm.IRModule(functions, attrs=mod.attrs)


def compact(document: str) -> str:
    """Rewrite a JSON document on one line."""
    return json.dumps(json.loads(document), separators=(",", ":"))

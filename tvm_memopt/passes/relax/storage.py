"""Storage that a planned function allocates, computed from the IR rather than from the plan."""

from __future__ import annotations

from tvm import relax, tirx
from tvm.ir import Var

from tvm_memopt.passes.relax.apply import ARENA_PARAMETER
from tvm_memopt.passes.relax.program import leaves


def arena_storage_nbytes(function: relax.Function) -> int:
    """Bytes of all storages of ``function`` that hold no returned tensor, or of its caller-owned arena."""
    owned = [p for p in function.params if p.name == ARENA_PARAMETER]
    if owned:
        return int(owned[0].ty.shape.values[0])
    sizes: dict[Var, int] = {}
    source: dict[Var, Var] = {}
    for block in function.body.blocks:
        for binding in block.bindings:
            call = binding.value
            if not isinstance(call, relax.Call):
                continue
            name = getattr(call.op, "name", "")
            if name == "relax.memory.alloc_storage":
                extent = call.args[0].values[0]
                sizes[binding.var] = int(extent) if isinstance(extent, tirx.IntImm) else 0
            elif name.startswith("relax.memory.") or name == "relax.reshape":
                source[binding.var] = call.args[0]
    returned = {_origin(leaf, source) for leaf in leaves(function.body.body) if isinstance(leaf, Var)}
    return sum(nbytes for variable, nbytes in sizes.items() if variable not in returned)


def _origin(variable: Var, source: dict[Var, Var]) -> Var:
    while isinstance(variable, Var) and variable in source:
        variable = source[variable]
    return variable

"""Kernel times predicted by the network, as recomputation costs for plans where nothing can be measured."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tvm_memopt.cost_model.data.samples import compressed
from tvm_memopt.cost_model.features.extract import extract
from tvm_memopt.cost_model.network.checkpoint import PRETRAINED, load_checkpoint, same_target
from tvm_memopt.cost_model.network.predictor import Trained, from_checkpoint
from tvm_memopt.errors import MemoptError

if TYPE_CHECKING:
    import tvm
    from tvm import tirx

    from tvm_memopt.passes.relax.planning import KernelCosts


def predicted_costs(
    kernels: Mapping[str, tirx.PrimFunc], target: tvm.target.Target, checkpoint: Path | None = None
) -> dict[str, float]:
    """Predict seconds by kernel name, as in ``mo.optimize(mod, target, kernel_costs=predicted_costs)``.

    ``kernels``: PrimFuncs by name. ``checkpoint``: None for the bundled checkpoint. Kernels with symbolic dimensions or
    scalar parameters get the roofline estimate. Raises MemoptError if the checkpoint is missing or for another target.
    """
    path = checkpoint or PRETRAINED
    return _predicted(from_checkpoint(load_checkpoint(path, str(target)), str(path)), kernels, target)


def _predicted(trained: Trained, kernels: Mapping[str, tirx.PrimFunc], target: tvm.target.Target) -> dict[str, float]:
    import tvm

    from tvm_memopt.passes.tir.cost import estimated_costs

    found: dict[str, float] = estimated_costs(kernels, target)
    for name, function in kernels.items():
        seconds = _seconds(trained, tvm.IRModule({"main": function.with_attr("global_symbol", "main")}))
        if seconds is not None:
            found[name] = seconds
    return found


def costs_by(checkpoint: Path | None, target: tvm.target.Target) -> KernelCosts:
    """Bind predicted_costs to ``checkpoint``, which is read immediately and only once.

    Raises MemoptError if the checkpoint is damaged or for another target.
    """
    path = checkpoint or PRETRAINED
    found = load_checkpoint(path)
    if not same_target(str(target), found.target):
        raise MemoptError(
            f"{path}: predicts for target {found.target}, not for {target}: give --target '{found.target}', or a "
            "network that was trained for yours"
        )
    return partial(_predicted, from_checkpoint(found, str(path)))


def _seconds(trained: Trained, mod: tvm.IRModule) -> float | None:
    """Predicted seconds, or None for a kernel that has no graph."""
    try:
        graphs = compressed(extract([mod]))
    except (RuntimeError, ValueError, TypeError, AttributeError):
        return None
    return float(trained.predict(graphs)[0][0]) if len(graphs.nodes["statement"]) else None

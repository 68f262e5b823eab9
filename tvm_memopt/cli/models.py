"""Read the input of a command: a graph, or a model that is lowered to one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tvm_memopt.cli.console import print_notes, stage
from tvm_memopt.cli.frontend import choose_frontend
from tvm_memopt.cli.rpc import named_device
from tvm_memopt.errors import FrontendError, MemoptError
from tvm_memopt.graph import Graph, read_graph

if TYPE_CHECKING:
    import tvm

    from tvm_memopt.passes.relax.planning import KernelCosts
    from tvm_memopt.targets import DeviceProfile
    from tvm_memopt.targets.rpc import Device


_RELAY_LOWERING = ("shapes", "override_shapes", "target", "no_inplace", "measure_costs", "executor", "device")


@dataclass(frozen=True)
class Lowering:
    """The options for lowering a model to a graph. They do not apply to graph files."""

    shapes: tuple[str, ...]
    target: str
    function: str | None
    fold: str
    split: str
    narrow: str
    integer: bool | None
    overlap: str
    io_in_arena: str
    no_inplace: bool
    measure_costs: bool
    predict_costs: str | None = None
    override_shapes: tuple[str, ...] = ()
    frontend: str | None = None
    executor: str | None = None
    device: DeviceProfile | None = None
    rpc: str | None = None
    tracker: str | None = None
    key: str | None = None


def read_graph_if_given(path: str) -> Graph | None:
    """The graph in ``path``, or None if it holds a model. Raises if it holds neither."""
    from tvm_memopt.frontends import detect_format

    return read_graph(path) if detect_format(path) == "memopt-graph" else None


def import_for_command(path: str, shapes: Sequence[str], override_shapes: Sequence[str] = ()) -> tvm.IRModule:
    """Import a model file as a Relax module with the given input shapes."""
    from tvm_memopt.frontends import detect_format, import_model, parse_shapes

    if detect_format(path) == "memopt-graph":
        raise FrontendError(f"{path}: is a graph, expected a model (ONNX, TFLite, .pt2 or Relax)")
    with stage(f"importing {path}"):
        return import_model(path, parse_shapes(shapes), parse_shapes(override_shapes))


def graph_of_model(path: str, options: Lowering, relay_options: Collection[str] = ()) -> Graph:
    """The graph of a model's function after lowering, by Relax or Relay. Prints its notes on stderr.

    ``relay_options``: names of the command's own parameters that do not depend on the front end.
    """
    if choose_frontend(options.frontend, {*_RELAY_LOWERING, *relay_options}) == "relay":
        from tvm_memopt.cli.relay.models import relay_graph_of_model

        return relay_graph_of_model(path, options)
    from tvm_memopt.passes.compile import lower, make_target, skipped_notes

    chosen = make_target(options.target)
    device = named_device(options.rpc, options.tracker, options.key)
    if device is not None and not options.measure_costs:
        raise MemoptError("--rpc and --tracker name the device that --measure-costs times kernels on: add it")
    costs = kernel_costs(options.predict_costs, options.measure_costs, chosen, device)
    mod = import_for_command(path, options.shapes, options.override_shapes)
    from tvm_memopt.passes.relax.planning import PlanOptions, extract_module

    plan_options = PlanOptions(
        fold_data_movement=options.fold, split=options.split, inplace=not options.no_inplace,
        measure_costs=options.measure_costs, kernel_costs=costs, device=options.device, io_in_arena=options.io_in_arena,
        overlap="never" if options.overlap == "never" else "always",
    )  # fmt: skip
    with stage("lowering"):
        lowered, chosen = lower(mod, chosen, options.narrow, options.integer, options.device)
        with chosen:
            extracted = extract_module(lowered, chosen, plan_options)
    found = extracted.functions[choose_function(path, options.function, extracted.functions, extracted.skipped)]
    print_notes([*found.notes, *skipped_notes(extracted.skipped)])
    graph: Graph = found.graph
    return graph


def kernel_costs(
    network: str | None, measured: bool, target: tvm.target.Target, device: Device | None = None, cc: str | None = None
) -> KernelCosts | None:
    """The source of kernel times given by --predict-costs, or by --measure-costs on a device. None without either.

    Raises MemoptError if it cannot be read, predicts for another target, does not answer, or if there are two.
    """
    if network is None:
        return _device_costs(target, device, cc) if measured and device is not None else None
    if measured:
        raise MemoptError("--measure-costs and --predict-costs are two sources of the same times: leave one out")
    try:
        from tvm_memopt.cost_model.network.kernel_costs import costs_by
    except ModuleNotFoundError as error:
        raise MemoptError(f"--predict-costs needs {error.name}: pip install 'tvm-memopt[learn]'") from error
    return costs_by(None if network == "package" else Path(network), target)


def _device_costs(target: tvm.target.Target, device: Device, cc: str | None) -> KernelCosts:
    from tvm_memopt.passes.tir.device_cost import device_costs
    from tvm_memopt.targets.toolchain import linker_for

    linker_for(target, cc)  # both fail before any work is done
    device.count()
    return partial(device_costs, device=device, cc=cc)


def choose_function(
    path: str, wanted: str | None, functions: Mapping[str, object], skipped: Mapping[str, str] | None = None
) -> str:
    """The function to plan: ``wanted``, else ``main`` or the only one. Raises MemoptError if there is none."""
    from tvm_memopt.passes.compile import main_function

    if wanted is None:
        return main_function(functions)
    if wanted in functions:
        return wanted
    why = f": {skipped[wanted]}" if skipped and wanted in skipped else ""
    names = ", ".join(functions) or "none"
    raise MemoptError(f"{path}: has no function {wanted!r} that can be planned{why}; those that can: {names}")

"""Pass contexts and builds for Relay-era TVM."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import tvm
from tvm import relay
from tvm.relay.backend import Executor, Runtime

from tvm_memopt.errors import MemoptError, NoPlanError
from tvm_memopt.passes.relay import usmp
from tvm_memopt.passes.relay.buffer_names import annotated, kernel_groups
from tvm_memopt.passes.relay.emit import let_chain, replace_function
from tvm_memopt.passes.relay.instrument import ASSIGN_STORAGE, MemoryPlan
from tvm_memopt.passes.relay.interrupts import held_interrupts
from tvm_memopt.passes.relay.kernels import fresh_context
from tvm_memopt.passes.relay.overwrites import descending_copies
from tvm_memopt.passes.relay.planning import RelayOptions, RelayPlan, call_plan, plan_function
from tvm_memopt.passes.relay.program import UnsupportedFunctionError
from tvm_memopt.passes.relay.storage import StorageReport, assign_storage
from tvm_memopt.passes.relay.targets import assumes_no_aliases, make_target

_log = logging.getLogger("tvm_memopt")
EXECUTORS = ("graph", "aot", "vm")
ALIGNMENT = 64


def aot_executor(alignment: int = ALIGNMENT, interface: str = "packed", *, link_params: bool = True) -> Any:
    """The ahead-of-time executor with linked parameters and pools aligned to ``alignment`` bytes."""
    return Executor(
        "aot",
        {
            "interface-api": interface,
            "unpacked-api": interface == "c",
            "link-params": link_params,
            "workspace-byte-alignment": alignment,
            "constant-byte-alignment": alignment,
        },
    )


def usmp_config() -> dict[str, Any]:
    """The pass configuration that gives the ahead-of-time executor the plan's addresses.

    TVM's static memory planner calls the project's algorithm. A pass corrects the sizes of vector buffers, which TVM
    0.16 undercounts, and another lets padding overwrite what it pads.
    """
    usmp.register_algorithm()
    return {
        "tir.usmp.enable": True,
        "tir.usmp.custom_algorithm": usmp.ALGORITHM,
        "tir.add_lower_pass": [(3, usmp.scalar_extents), (3, descending_copies)],
    }


@dataclass(frozen=True)
class RelayBuild:
    """A built module with its plan.

    ``factory``: what ``relay.build`` returned, or the executable of the virtual machine. ``planned``: None where
    nothing could be planned. ``pools``: of the ahead-of-time executor. ``storage``: of the graph executor.
    """

    factory: Any
    executor: str
    planned: RelayPlan | None
    pools: usmp.PoolReport | None
    storage: StorageReport | None
    notes: tuple[str, ...]


def build(
    mod: Any,
    target: Any = None,
    params: Mapping[str, Any] | None = None,
    *,
    executor: str = "graph",
    opt_level: int = 3,
    config: Mapping[str, Any] | None = None,
    instruments: Sequence[Any] = (),
    **options: Any,
) -> RelayBuild:
    """Build ``mod`` with its memory planned, for the ``"graph"``, ``"aot"`` or ``"vm"`` executor.

    ``config``, ``instruments``: added to those of the pass context. The other keyword arguments are those of
    RelayOptions. Raises InfeasibleBudgetError or NoPlanError if the budget is not met.
    """
    if executor not in EXECUTORS:
        raise MemoptError(f"executor {executor!r} is unknown, expected one of {', '.join(EXECUTORS)}")
    chosen, plan = make_target(target), MemoryPlan(**options)
    given = {"opt_level": opt_level, "config": dict(config or {})}
    merged = {**(usmp_config() if executor == "aot" else {}), **(config or {})}
    with tvm.transform.PassContext(opt_level=opt_level, config=merged, instruments=[*instruments, plan]):
        factory = build_for(mod, chosen, params, executor)
    if executor == "aot" and plan.pools is not None and len(plan.pools.pools) == 1 and not _sets_usmp(config):
        factory, plan = _without_pools(mod, chosen, params, plan, given)
    storage = None
    if executor == "graph" and plan.planned is not None:
        request = plan.options.request(plan.planned.graph)
        factory, storage = assign_storage(
            factory, time_limit=request.time_limit, seed=request.seed, threads=request.threads
        )
        if request.budget_nbytes is not None and storage.nbytes > request.budget_nbytes:
            raise NoPlanError(
                f"no storages within the budget of {request.budget_nbytes} bytes were found in the time limit: the "
                f"smallest assignment found has {storage.nbytes} bytes; at least {storage.bound_nbytes} are needed"
            )
    notes = tuple(note for note in plan.notes if note != ASSIGN_STORAGE)
    return RelayBuild(factory, executor, plan.planned, plan.pools, storage, notes)


def _sets_usmp(config: Mapping[str, Any] | None) -> bool:
    return any(key.startswith("tir.usmp.") for key in config or {})


def _without_pools(
    mod: Any, target: Any, params: Mapping[str, Any] | None, plan: MemoryPlan, context: Mapping[str, Any]
) -> tuple[Any, MemoryPlan]:
    """Build in the order of ``plan``, without TVM's static memory planner. ``context``: of the passes.

    The ahead-of-time executor of TVM 0.16 passes wrong arguments to a module that has a workspace but no constants, or
    the reverse: its runs end in an error.
    """
    options = plan.options
    if plan.planned is not None:
        options = replace(options, plan=call_plan(plan.planned, options))
    ordered = MemoryPlan(**{one.name: getattr(options, one.name) for one in fields(options) if one.name != "budget"})
    with tvm.transform.PassContext(**context, instruments=[ordered]):
        factory = build_for(mod, target, params, "aot")
    usmp.expect(None, RelayOptions())
    if plan.pools is not None and any("const" not in name for name in plan.pools.pools):
        ordered.notes.append(
            "the plan's order is kept, not its addresses: TVM 0.16 cannot run a module that has a workspace pool and "
            "no constants, so its kernels allocate when they run"
        )
    return factory, ordered


def build_unmodified(mod: Any, target: Any, params: Mapping[str, Any] | None, *, executor: str = "graph") -> Any:
    """TVM's own build of ``mod`` for the same target."""
    with tvm.transform.PassContext(opt_level=3):
        return build_for(mod, make_target(target), params, executor)


def build_for(mod: Any, target: Any, params: Mapping[str, Any] | None, executor: str) -> Any:
    """TVM's build for one executor in the current pass context, with this package's executor options."""
    with held_interrupts():
        if executor == "vm":
            return relay.vm.compile(mod, target=target, params=params)
        given: dict[str, Any] = {}
        if executor == "aot":
            given = {"executor": aot_executor(), "runtime": Runtime("cpp")}
        return relay.build(mod, target=target, params=params, **given)


def plan_module(
    mod: Any, target: Any = None, *, executor: str = "graph", **options: Any
) -> tuple[Any, RelayPlan | None]:
    """Plan a module that ``relay.optimize`` returned, between it and ``relay.build``.

    Returns the module, a new one, and the plan of its main function, or None with a logged reason if it cannot be
    planned. The keyword arguments are those of RelayOptions. Optimise with the configuration
    ``{"relay.FuseOps.link_params": True}`` for the ahead-of-time executor.
    """
    chosen, chosen_options = make_target(target), RelayOptions(**options)
    changed = tvm.IRModule(dict(mod.functions.items()), mod.type_definitions, attrs=mod.attrs)
    added = {"tir.add_lower_pass": usmp_config()["tir.add_lower_pass"]} if executor == "aot" else {}
    with fresh_context(added), chosen:
        try:
            planned = plan_function(
                changed["main"],
                chosen,
                executor,
                chosen_options,
                alignment=ALIGNMENT,
                overwrite=assumes_no_aliases(chosen),
            )
        except UnsupportedFunctionError as reason:
            if chosen_options.strict or chosen_options.budget is not None:
                raise MemoptError(f"function 'main' cannot be planned: {reason}") from None
            _log.info("function main: left as it is: %s", reason)
            return changed, None
        replace_function(changed, "main", let_chain(planned.extraction.program, planned.schedule), chosen)
        if executor == "aot":
            planned = replace(planned, groups=kernel_groups(annotated(changed)["main"]))
    usmp.register_algorithm()
    usmp.expect(planned, chosen_options)
    return changed, planned

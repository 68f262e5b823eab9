"""The pass instrument that plans memory inside a plain ``relay.build``."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import tvm
from tvm.ir.instrument import pass_instrument

from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import Graph, Plan
from tvm_memopt.passes.relay import usmp
from tvm_memopt.passes.relay.buffer_names import kernel_groups, placed_plan
from tvm_memopt.passes.relay.distinct_results import copy_repeated_results
from tvm_memopt.passes.relay.emit import let_chain, replace_function
from tvm_memopt.passes.relay.kernels import fresh_context
from tvm_memopt.passes.relay.planning import RelayOptions, RelayPlan, log_plan, plan_function
from tvm_memopt.passes.relay.program import UnsupportedFunctionError
from tvm_memopt.passes.relay.targets import assumes_no_aliases

_log = logging.getLogger("tvm_memopt")
PLANNED_AFTER = "AnnotateMemoryScope"  # the last pass on Relay before lowering, for all three executors

ASSIGN_STORAGE = (
    "the graph executor's storages keep the budget once mo.relay.assign_storage has assigned them; as TVM assigns them "
    "they may exceed it"
)


@pass_instrument
class MemoryPlan:
    """Plan the memory of the module that is being built, after TVM has fused it.

    ``with tvm.transform.PassContext(opt_level=3, instruments=[MemoryPlan(budget="80%")]): relay.build(...)``. The
    keyword arguments are those of RelayOptions. For addresses from the plan, the context needs ``config=usmp_config()``
    and the build the ahead-of-time executor.

    After the build: ``plan``, ``graph``, ``planned`` (all None where nothing could be planned), ``notes``, and
    ``pools``, what the ahead-of-time executor placed. Errors of the planner come out of ``relay.build``.
    """

    def __init__(self, **options: Any) -> None:
        self.options = RelayOptions(**options)
        self.planned: RelayPlan | None = None
        self.pools: usmp.PoolReport | None = None
        self.notes: list[str] = []
        self._busy = False
        usmp.register_algorithm()

    @property
    def plan(self) -> Plan | None:
        """The plan of the last function that was built, with the notes."""
        return replace(self.planned.plan, notes=tuple(self.notes)) if self.planned else None

    @property
    def graph(self) -> Graph | None:
        """The graph that the plan belongs to."""
        return self.planned.graph if self.planned else None

    def run_after_pass(self, mod: Any, info: Any) -> None:
        """Called by TVM after each pass."""
        if info.name == "AnnotateUsedMemory" and self.planned is not None and self.planned.executor == "aot":
            self._expect(replace(self.planned, groups=kernel_groups(mod["main"])))
        if info.name != PLANNED_AFTER or self._busy:
            return
        self._busy = True
        try:
            with fresh_context():
                self._plan(mod)
        finally:
            self._busy = False

    def _plan(self, mod: Any) -> None:
        self.planned, self.pools, self.notes = None, None, []
        name = "main"
        try:
            function = mod[name]
            executor = executor_of(mod, function)
            target = target_of(function)
            if executor == "aot" and copy_repeated_results(mod, name, target):
                self._note(f"function {name}: repeated results are copied: the executor writes each tensor once")
                function = mod[name]
            planned = plan_function(
                function,
                target,
                executor,
                self.options,
                alignment=alignment_of(mod) if executor == "aot" else 64,
                overwrite=may_overwrite(mod, target),
            )
        except UnsupportedFunctionError as reason:
            if self.options.strict or self.options.budget is not None:
                raise MemoptError(f"function {name!r} cannot be planned: {reason}") from None
            self._note(f"function {name}: left as it is: {reason}")
            usmp.expect(None, self.options, self._placed)
            return
        log_plan(name, planned)
        for note in planned.extraction.notes:
            self._note(note)
        replace_function(mod, name, let_chain(planned.extraction.program, planned.schedule), target)
        self._expect(planned)
        if planned.executor == "graph" and self.options.budget is not None:
            self._note(ASSIGN_STORAGE)
        if planned.storage_nbytes is not None and planned.storage_nbytes > planned.plan.arena_nbytes:
            self._note(
                f"the graph executor has no offsets: assign_storage gives its storages {planned.storage_nbytes} bytes "
                f"for an arena of {planned.plan.arena_nbytes}; the ahead-of-time executor reaches the arena"
            )

    def exit_pass_ctx(self) -> None:
        """Called by TVM at the end of the context."""
        usmp.expect(None, RelayOptions())

    def _expect(self, planned: RelayPlan) -> None:
        self.planned = planned
        usmp.expect(planned if planned.executor == "aot" else None, self.options, self._placed)

    def _placed(self, report: usmp.PoolReport, sizes: dict[str, int]) -> None:
        self.pools = report
        if self.planned is None:
            return
        if report.method == "pools":
            self._note("the buffers lie in several pools: the plan's addresses are those of one pool")
            return
        placed = placed_plan(self.planned, report.places, sizes, report.method)
        if placed is None:
            self._note("TVM's buffers are not those of the plan: its addresses are not those of the workspace pool")
            return
        self.planned = placed

    def _note(self, text: str) -> None:
        self.notes.append(text)
        _log.info("%s", text)


def executor_of(mod: Any, function: Any) -> str:
    """``"graph"``, ``"aot"`` or ``"vm"``."""
    for attributes in (function.attrs, mod.attrs):
        if attributes is not None and "executor" in attributes.keys():  # noqa: SIM118  an attribute map is no dict
            return str(attributes["executor"].name)
    return "vm"


def alignment_of(mod: Any) -> int:
    """The alignment of the ahead-of-time executor's workspace, in bytes."""
    return int(_executor_option(mod, "workspace-byte-alignment", 16))


def may_overwrite(mod: Any, target: Any) -> bool:
    """Whether two buffers of a kernel may share memory: its code must assume nothing about aliases.

    Kernels with the interface ``"c"`` take raw pointers, which TVM declares to be apart.
    """
    return assumes_no_aliases(target) and str(_executor_option(mod, "interface-api", "packed")) == "packed"


def _executor_option(mod: Any, name: str, default: Any) -> Any:
    attributes = mod.attrs
    if attributes is None or "executor" not in attributes.keys():  # noqa: SIM118  an attribute map is no dict
        return default
    options = attributes["executor"].attrs
    return options[name] if name in options.keys() else default  # noqa: SIM118


def target_of(function: Any) -> Any:
    """The target that a function is compiled for. Raises MemoptError if it has none."""
    target = function.virtual_device_.target or tvm.target.Target.current(allow_none=True)
    if target is None:
        raise MemoptError("the module has no target: call relay.build(mod, target=...) or use `with target:`")
    return target

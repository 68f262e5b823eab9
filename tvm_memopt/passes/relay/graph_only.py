"""The graph of a module's calls, taken from a build that stops where a plan would be made."""

from __future__ import annotations

from typing import Any

import tvm
from tvm.ir.instrument import pass_instrument

from tvm_memopt.errors import MemoptError
from tvm_memopt.passes.relay.build import EXECUTORS, build_for, usmp_config
from tvm_memopt.passes.relay.distinct_results import copy_repeated_results
from tvm_memopt.passes.relay.extract import RelayExtraction
from tvm_memopt.passes.relay.instrument import PLANNED_AFTER, alignment_of, executor_of, may_overwrite, target_of
from tvm_memopt.passes.relay.kernels import fresh_context
from tvm_memopt.passes.relay.planning import RelayOptions, extract_calls
from tvm_memopt.passes.relay.program import UnsupportedFunctionError
from tvm_memopt.passes.relay.targets import make_target


class _FoundError(Exception):
    """Ends the build."""


@pass_instrument
class _Extraction:
    def __init__(self, options: RelayOptions) -> None:
        self.options = options
        self.found: RelayExtraction | None = None
        self.reason = "TVM did not reach the pass after which it is planned"
        self._busy = False

    def run_after_pass(self, mod: Any, info: Any) -> None:
        """Called by TVM after each pass."""
        if info.name != PLANNED_AFTER or self._busy:
            return
        self._busy = True
        function = mod["main"]
        executor, target = executor_of(mod, function), target_of(function)
        alignment = alignment_of(mod) if executor == "aot" else 64
        overwrite = may_overwrite(mod, target)
        try:
            with fresh_context():
                if executor == "aot":
                    copy_repeated_results(mod, "main", target)
                self.found = extract_calls(
                    mod["main"], target, executor, self.options, alignment=alignment, overwrite=overwrite
                )
        except UnsupportedFunctionError as reason:
            self.reason = str(reason)
        raise _FoundError


def extract_module(mod: Any, target: Any = None, *, executor: str = "aot", **options: Any) -> RelayExtraction:
    """The calls of ``mod`` after TVM's own fusion, as mo.relay.build plans them, and their graph.

    ``executor``: ``"graph"``, ``"aot"`` or ``"vm"``. The keyword arguments are those of RelayOptions. Raises
    MemoptError if the main function cannot be planned.
    """
    if executor not in EXECUTORS:
        raise MemoptError(f"executor {executor!r} is unknown, expected one of {', '.join(EXECUTORS)}")
    extraction = _Extraction(RelayOptions(**options))
    config = usmp_config() if executor == "aot" else {}
    try:
        with tvm.transform.PassContext(opt_level=3, config=config, instruments=[extraction]):
            build_for(mod, make_target(target), None, executor)
    except _FoundError:
        pass
    if extraction.found is None:
        raise MemoptError(f"function 'main' cannot be planned: {extraction.reason}")
    found: RelayExtraction = extraction.found
    return found

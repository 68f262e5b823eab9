"""Read a model file for a command as a Relay module, or as the graph of its calls."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.error import URLError

from tvm_memopt.cli.console import note, print_notes, stage
from tvm_memopt.cli.frontend import DEFAULT_EXECUTOR
from tvm_memopt.errors import FrontendError, MemoptError
from tvm_memopt.graph import Graph

if TYPE_CHECKING:
    from tvm_memopt.cli.models import Lowering
    from tvm_memopt.targets import DeviceProfile

_T = TypeVar("_T")


def relay_target(text: str, device: DeviceProfile | None = None) -> Any:
    """A target by name or JSON. ``llvm`` and that of ``device`` have the options that TVM 0.16 needs for right code."""
    from tvm_memopt.passes.relay.targets import default_target, device_target, make_target, may_miscompile

    if device is not None and device.triple:
        return device_target(device)
    if text == "llvm":
        return default_target()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        target = make_target(text)
    if may_miscompile(target):
        note(
            f"tvm-memopt: warning: target {target}: the code generator of TVM 0.16 (hhb-tvm) can compute wrong values "
            "in its vector code: add -cl-opt=-enable-tbaa:bool=false, or leave --target out"
        )
    return target


def import_for_relay(path: str, shapes: Sequence[str], override_shapes: Sequence[str], executor: str) -> Any:
    """Import a model file as a Relay module with the given input shapes, for an executor.

    Raises FrontendError if the executor cannot have the sizes of its tensors.
    """
    from tvm_memopt.frontends.relay_import import import_relay, unknown_sizes
    from tvm_memopt.frontends.shapes import parse_shapes

    with stage(f"importing {path}"):
        mod = import_relay(path, parse_shapes(shapes), parse_shapes(override_shapes))
    if executor != "vm" and (names := unknown_sizes(mod)):
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        raise FrontendError(
            f"{path}: the results of {shown} have sizes known only at run time, which Relay's {executor} executor does "
            "not support: export the model with fixed sizes, or give --executor vm, which leaves it without a plan"
        )
    return mod


def relay_graph_of_model(path: str, options: Lowering) -> Graph:
    """The graph of a model's calls, after TVM has fused its operators. Prints its notes on stderr."""
    from tvm_memopt.passes.relay.graph_only import extract_module

    executor = options.executor or DEFAULT_EXECUTOR
    target = relay_target(options.target, options.device)
    mod = import_for_relay(path, options.shapes, options.override_shapes, executor)

    def extract() -> Any:
        return extract_module(
            mod,
            target,
            executor=executor,
            inplace=not options.no_inplace,
            measure_costs=options.measure_costs,
            device=options.device,
        )

    with stage("lowering"):
        found = built(path, executor, extract)
    print_notes(found.notes)
    graph: Graph = found.graph
    return graph


def _tvm_quiet() -> AbstractContextManager[None]:
    """Discard what TVM prints below Python, unless the package's own log is wanted, which goes to the same place."""
    from tvm_memopt.native_output import native_stderr_discarded

    verbose = logging.getLogger("tvm_memopt").isEnabledFor(logging.INFO)
    return nullcontext() if verbose else native_stderr_discarded()


def built(path: str, executor: str, build: Callable[[], _T]) -> _T:
    """Run one of TVM's builds. Its failure becomes a line that names the model and the executor."""
    from tvm_memopt.runtime.loading import last_line

    try:
        with _tvm_quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # relay_target has said it already
            return build()
    except URLError as error:
        raise MemoptError(
            f"{path}: TVM fetches schedules for this target, and cannot ({error.reason}): set the environment variable "
            "TOPHUB_LOCATION=NONE to compile with its default schedules"
        ) from None
    except (RuntimeError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise MemoptError(
            f"{path}: TVM's build for the {executor} executor failed: {last_line(error)[:200]} (another --executor may "
            "support the model)"
        ) from error

"""Measured comparison of a planned Relay module with TVM's own build: outputs, memory and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from tvm_memopt.cli.console import stage
from tvm_memopt.cli.relay.models import built

if TYPE_CHECKING:
    from tvm_memopt.runtime import TimeComparison
    from tvm_memopt.runtime.relay_execute import RelayModule

_SHOWN = {
    "global_workspace": "workspace",
    "global_const_workspace": "constants",
    "workspace_estimate": "TVM's estimate (outputs included, vector lanes not)",
    "storages": "storages",
}


@dataclass(frozen=True)
class RelayComparison:
    """Measurements of a planned module, and of TVM's own build of the same model if there is one.

    ``planned``, ``unmodified``: bytes of pools or storages by kind, as the builds state them. Without TVM's own build,
    ``outputs_equal`` is None.
    """

    planned: Mapping[str, int]
    unmodified: Mapping[str, int] | None
    times: TimeComparison
    outputs_equal: bool | None

    def document(self) -> dict[str, object]:
        """The measurements, for JSON output."""
        return {
            "planned": dict(self.planned),
            "unmodified": None if self.unmodified is None else dict(self.unmodified),
            "seconds": {
                "wall_median": {name: one.median for name, one in self.times.wall_seconds.items()},
                "wall_ratio_median": {name: one.median for name, one in self.times.wall_ratio.items()},
            },
            "outputs_equal": self.outputs_equal,
        }

    def text(self) -> str:
        """The measurements as text."""
        lines = [f"planned: {memory_text(self.planned)}"]
        wall = self.times.wall_seconds
        own = f"time a call (median): {wall['planned'].median * 1e3:.3f} ms"
        if self.unmodified is not None:
            lines.append(f"unmodified: {memory_text(self.unmodified)}")
            ratio = self.times.wall_ratio["planned"]
            own += (
                f", unmodified {wall['unmodified'].median * 1e3:.3f} ms, ratio {ratio.median:.3f} "
                f"({ratio.low:.3f} to {ratio.high:.3f})"
            )
        lines.append(own)
        if self.outputs_equal is not None:
            lines.append("outputs: equal bit for bit" if self.outputs_equal else "outputs: DIFFERENT")
        return "\n".join(lines)


def memory_text(memory: Mapping[str, int]) -> str:
    """Bytes by kind as text."""
    if not memory:
        return "no pools or storages of known size"
    return ", ".join(f"{_SHOWN.get(kind, kind)} {nbytes:,} bytes" for kind, nbytes in memory.items())


def compare_with_unmodified(
    planned: RelayModule,
    memory: Mapping[str, int],
    model: str,
    mod: Any,
    target: Any,
    inputs: Sequence[np.ndarray],
    repeats: int,
) -> RelayComparison:
    """Build ``mod`` as TVM does, run both modules on the same inputs, and time them in alternation."""
    from tvm_memopt.passes.relay.build import build_unmodified
    from tvm_memopt.passes.relay.module_file import export_factory, memory_unmodified
    from tvm_memopt.runtime import outputs_equal
    from tvm_memopt.runtime.relay_execute import RelayModule, compare_relay_times

    executor = planned.executor
    with stage("building the unmodified module"), TemporaryDirectory() as folder:
        factory = built(model, executor, lambda: build_unmodified(mod, target, None, executor=executor))
        path = Path(folder, "unmodified.so")
        export_factory(factory, path)
        other = RelayModule(path, executor, planned.inputs)
    with stage("measuring"):
        equal = outputs_equal(planned.outputs(inputs), other.outputs(inputs))
        modules = {"planned": planned, "unmodified": other}
        times = compare_relay_times(modules, inputs, repeats, baseline="unmodified")
    return RelayComparison(memory, memory_unmodified(factory, executor), times, equal)


def measured_alone(
    planned: RelayModule, memory: Mapping[str, int], inputs: Sequence[np.ndarray], repeats: int
) -> RelayComparison:
    """Run and time the module on its own."""
    from tvm_memopt.runtime.relay_execute import compare_relay_times

    with stage("measuring"):
        times = compare_relay_times({"planned": planned}, inputs, repeats, baseline="planned")
    return RelayComparison(memory, None, times, None)

"""Report data besides the graph and the plan. Every part is optional."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class BuildFigures:
    """Figures of one build of the model. ``planned_nbytes`` is read from its memory plan; the rest is measured.

    ``arena_nbytes``, ``returned_nbytes`` and ``workspace_nbytes`` are the bytes that the runtime allocated for the
    storage pool, the returned tensors and the workspaces inside kernels. ``seconds`` is the median time of one run.
    """

    planned_nbytes: int | None = None
    arena_nbytes: int | None = None
    returned_nbytes: int | None = None
    workspace_nbytes: int | None = None
    seconds: float | None = None

    @property
    def total_nbytes(self) -> int | None:
        """Sum of arena, returned tensors and kernel workspace; None unless all three were measured."""
        parts = (self.arena_nbytes, self.returned_nbytes, self.workspace_nbytes)
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == len(parts) else None


@dataclass(frozen=True, slots=True)
class ReportContext:
    """``baseline`` is TVM's own build, ``optimized`` ours. ``stage_seconds`` has the time of each build stage.
    ``model_nbytes`` is the size of the model's file, ``nbytes_by_type`` has the bytes of ``"activations"`` and
    ``"weights"`` by element type.
    """

    baseline: BuildFigures | None = None
    optimized: BuildFigures | None = None
    command_line: str | None = None
    seed: int | None = None
    time_limit: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    model_nbytes: int | None = None
    nbytes_by_type: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

"""The report's figures, as rows of text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from tvm_memopt.report.context import BuildFigures, ReportContext
from tvm_memopt.report.summary import extra_compute, method, repeated_steps
from tvm_memopt.report.timeline import Holder, Timeline
from tvm_memopt.report.units import change, exact_bytes, percent, printable, seconds_text, short_bytes

_NOT_MEASURED = "–"
_T = TypeVar("_T")
_Figure = TypeVar("_Figure", int, float)


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure: its large ``value``, its value ``before``, and a line of ``detail``."""

    name: str
    value: str
    detail: str
    before: str = ""
    delta: str = ""


def tiles(timeline: Timeline, context: ReportContext) -> list[Tile]:
    """Tiles for peak, arena, lower bound, fragmentation, recomputation, and the measured figures."""
    plan, waste = timeline.plan, timeline.fragmentation_nbytes
    share = waste / plan.arena_nbytes if plan.arena_nbytes else 0.0
    repeats = f"steps that repeat an op: {repeated_steps(timeline)}"
    peak = exact_bytes(plan.peak_live_nbytes)
    found = [
        _compared_tile("Peak live", timeline.given_peak_nbytes, plan.peak_live_nbytes, short_bytes, peak),
        _arena_tile(timeline, context),
        _bound_tile(timeline),
        Tile("Fragmentation", percent(share), f"{waste} B of the arena"),
        Tile("Recompute", percent(extra_compute(timeline)), repeats),
    ]
    return found + _weight_tiles(timeline, context) + _measured_tiles(context)


def _compared_tile(
    name: str, before: _Figure | None, after: _Figure, write: Callable[[_Figure], str], detail: str
) -> Tile:
    if before is None:
        return Tile(name, write(after), detail)
    return Tile(name, write(after), detail, write(before), change(before, after))


def _arena_tile(timeline: Timeline, context: ReportContext) -> Tile:
    arena = timeline.plan.arena_nbytes
    tvm = context.baseline.planned_nbytes if context.baseline else None
    detail = exact_bytes(arena) if tvm is None else f"TVM’s own plan: {exact_bytes(tvm)}"
    return _compared_tile("Arena", tvm, arena, short_bytes, detail)


def _bound_tile(timeline: Timeline) -> Tile:
    bound, gap = timeline.plan.lower_bound_nbytes, timeline.plan.gap_nbytes
    if bound is None or gap is None:
        return Tile("Lower bound", "none", "nothing was proved")
    detail = "reached: proved optimal" if gap == 0 else f"gap {gap} B ({percent(gap / bound if bound else 0)})"
    return Tile("Lower bound", short_bytes(bound), detail)


def _weight_tiles(timeline: Timeline, context: ReportContext) -> list[Tile]:
    tensors = timeline.graph.tensors
    weights = sum(tensor.nbytes for tensor in tensors if tensor.kind == "weight" and tensor.alias_of is None)
    if not weights:
        return []
    file = context.model_nbytes
    size = exact_bytes(weights) if file is None else f"file: {exact_bytes(file)}"
    by_type = {kind: _by_type(context.nbytes_by_type.get(kind, {})) for kind in ("activations", "weights")}
    found = [Tile("Weights", short_bytes(weights), "; ".join(filter(None, [size, by_type["weights"]])))]
    if by_type["activations"]:
        total = sum(context.nbytes_by_type["activations"].values())
        found.append(Tile("Activations in all", short_bytes(total), by_type["activations"]))
    return found


def _by_type(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {exact_bytes(nbytes)}" for name, nbytes in sizes.items())


def _measured_tiles(context: ReportContext) -> list[Tile]:
    old, new = context.baseline or BuildFigures(), context.optimized or BuildFigures()
    found: list[Tile] = []
    total = new.total_nbytes
    if total is not None:
        found.append(_compared_tile("Allocated, measured", old.total_nbytes, total, short_bytes, exact_bytes(total)))
    if new.seconds is not None:
        detail = "median of interleaved runs" if old.seconds is not None else "median"
        found.append(_compared_tile("Time of one run", old.seconds, new.seconds, seconds_text, detail))
    return found


def builds_table(context: ReportContext) -> list[tuple[str, str, str, str]]:
    """(quantity, TVM's build, ours, change) for every quantity known for either build."""
    old, new = context.baseline or BuildFigures(), context.optimized or BuildFigures()
    rows = [
        _build_row("planned arena", old.planned_nbytes, new.planned_nbytes, exact_bytes),
        _build_row("arena, measured", old.arena_nbytes, new.arena_nbytes, exact_bytes),
        _build_row("returned tensors, measured", old.returned_nbytes, new.returned_nbytes, exact_bytes),
        _build_row("kernel workspace, measured", old.workspace_nbytes, new.workspace_nbytes, exact_bytes),
        _build_row("all memory, measured", old.total_nbytes, new.total_nbytes, exact_bytes),
        _build_row("time of one run", old.seconds, new.seconds, seconds_text),
    ]
    return [row for row in rows if row is not None]


def _build_row(
    name: str, before: _Figure | None, after: _Figure | None, write: Callable[[_Figure], str]
) -> tuple[str, str, str, str] | None:
    """None if neither build has the quantity."""
    if before is None and after is None:
        return None
    figures = [write(value) if value is not None else _NOT_MEASURED for value in (before, after)]
    delta = change(before, after) if before is not None and after is not None else ""
    return name, figures[0], figures[1], delta


def holder_rows(timeline: Timeline) -> list[dict[str, object]]:
    """The buffers live at the peak, largest first."""
    return [
        {
            "block": holder.block,
            "name": timeline.blocks[holder.block].label,
            "nbytes": f"{timeline.blocks[holder.block].allocation.nbytes:,}",
            "size": short_bytes(timeline.blocks[holder.block].allocation.nbytes),
            "share": percent(holder.share),
            "cumulative": percent(holder.cumulative),
            "colour": timeline.blocks[holder.block].colour,
            "producer": _producer(timeline, holder),
            "last_use": _last_use(timeline, holder),
            "could_go": _could_go(timeline, holder),
        }
        for holder in timeline.holders
    ]


def _producer(timeline: Timeline, holder: Holder) -> str:
    block = timeline.blocks[holder.block]
    if block.producer is None:
        return "given by the caller"
    return f"{printable(timeline.graph.ops[block.producer].name)} (step {block.allocation.first})"


def _last_use(timeline: Timeline, holder: Holder) -> str:
    block = timeline.blocks[holder.block]
    if block.returned:
        return "returned"
    if holder.last_use is None:
        return f"its own step {block.allocation.last}"
    return f"{timeline.steps[holder.last_use].name} (step {holder.last_use})"


def _could_go(timeline: Timeline, holder: Holder) -> str:
    if holder.in_use:
        return "no: in use at the peak"
    if holder.remat_cost is None:
        return "no: cannot be recomputed"
    nbytes = timeline.blocks[holder.block].allocation.nbytes
    total = timeline.plan.base_cost
    share = f", {percent(holder.remat_cost / total)} of all compute" if total else ""
    per = f", {holder.remat_cost / nbytes * 1024:.3g} per KiB" if nbytes else ""
    return f"one more run: cost {holder.remat_cost:.4g}{share}{per}"


def step_rows(timeline: Timeline) -> list[dict[str, object]]:
    """The schedule with its marks. ``bar`` is the percentage of the peak."""
    peak = max(timeline.live, default=0) or 1
    return [
        {
            "index": step.index,
            "op": step.op,
            "name": step.name,
            "cost": f"{step.cost:.4g}",
            "live": f"{step.live_nbytes:,}",
            "bar": round(100 * step.live_nbytes / peak),
            "mark": "repeated" if step.run else "moved" if step.moved else "",
            "run": step.run + 1,
            "peak": step.index == timeline.peak_step,
        }
        for step in timeline.steps
    ]


def making_rows(timeline: Timeline, context: ReportContext) -> list[tuple[str, str]]:
    """How the plan was made: command, bounds, seed, versions and times."""
    plan, graph = timeline.plan, timeline.graph
    budget = "none: the smallest arena" if plan.budget_nbytes is None else exact_bytes(plan.budget_nbytes)
    rows = [("command", context.command_line or ""), ("status", f"{plan.status} by {method(timeline)}")]
    rows += [("budget", budget), ("lower bound", _if_given(plan.lower_bound_nbytes, exact_bytes))]
    rows += [("compute", f"{plan.cost:.6g}, every op once {plan.base_cost:.6g}")]
    rows += [("compute, lower bound", _if_given(plan.cost_bound, _plain))]
    rows += [("seed", _if_given(context.seed, str)), ("time limit", _if_given(context.time_limit, seconds_text))]
    rows += [(f"solver: {key}", _plain(value)) for key, value in plan.solver.items() if key not in ("name", "device")]
    rows += [(stage, seconds_text(seconds)) for stage, seconds in context.stage_seconds.items()]
    rows += [(f"version of {name}", version) for name, version in context.versions.items()]
    rows += [("graph", f"{len(graph.ops)} ops, {len(graph.tensors)} tensors, alignment {plan.alignment}")]
    return [(printable(name), printable(text)) for name, text in rows if text]


def _if_given(value: _T | None, write: Callable[[_T], str]) -> str:
    return "" if value is None else write(value)


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, default=str)

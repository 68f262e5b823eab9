"""Geometry of the report's plot: the static shapes, and the data for the interactive script."""

from __future__ import annotations

from itertools import groupby
from typing import TypedDict

from tvm_memopt.report.timeline import Block, Timeline
from tvm_memopt.report.units import byte_ticks, short_bytes, step_ticks

WIDTH, LEFT, RIGHT = 1100.0, 78.0, 8.0
STACK_TOP, STACK_HEIGHT = 26.0, 190.0
MAP_TOP, MAP_HEIGHT = 244.0, 330.0
HEIGHT = 612.0
_SPAN = WIDTH - LEFT - RIGHT
_HEADROOM = 1.06


class _Level(TypedDict):
    """A labelled line; ``x`` is the end of the label."""

    x: float
    y: float
    text: str
    kind: str


def plot_view(timeline: Timeline) -> dict[str, object]:
    """Static shapes, in the coordinates of the SVG view box."""
    steps = max(1, len(timeline.steps))
    stack, memory = _limits(timeline)
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "span": _SPAN,
        "stack": _panel(STACK_TOP, STACK_HEIGHT, stack, _stack_levels(timeline)),
        "map": _panel(MAP_TOP, MAP_HEIGHT, memory, _map_levels(timeline)),
        "scale_x": _SPAN / steps,
        "live": _step_path(timeline.live, stack),
        "given": _step_line(timeline.given_live, stack),
        "rectangles": [_rectangle(index, block, memory) for index, block in enumerate(timeline.blocks)],
        "ticks": [(LEFT + (s + 0.5) / steps * _SPAN, s) for s in step_ticks(0, steps - 1, 12)],
        "peak": None if timeline.peak_step is None else (LEFT + timeline.peak_step / steps * _SPAN, _SPAN / steps),
    }


def plot_data(timeline: Timeline) -> dict[str, object]:
    """Data for the script (hover, pin, zoom, stack), as short lists to keep the file small."""
    stack, memory = _limits(timeline)
    return {
        "left": LEFT,
        "span": _SPAN,
        "stack": [STACK_TOP, STACK_HEIGHT, stack],
        "map": [MAP_TOP, MAP_HEIGHT, memory],
        "steps": [[step.name, step.live_nbytes, step.run] for step in timeline.steps],
        "ops": [op.name for op in timeline.graph.ops],
        "blocks": [_row(timeline, block) for block in timeline.blocks],
    }


def _row(timeline: Timeline, block: Block) -> list[object]:
    a = block.allocation
    names = timeline.graph.ops
    producer = names[block.producer].name if block.producer is not None else "the caller"
    flags = 1 * (block.run > 0) + 2 * block.returned + 4 * (block.kind == "workspace")
    return [a.first, a.last, a.offset, a.nbytes, block.colour, block.label, producer, list(block.reads), flags]


def _limits(timeline: Timeline) -> tuple[int, int]:
    budget = timeline.plan.budget_nbytes or 0
    stack = max([*timeline.live, *timeline.given_live, budget, 1])
    return int(stack * _HEADROOM), int(max(timeline.plan.arena_nbytes, budget, 1) * _HEADROOM) + 1


def _stack_levels(timeline: Timeline) -> list[tuple[int, str, str]]:
    plan = timeline.plan
    levels = [(plan.peak_live_nbytes, "peak", "peak")]
    if timeline.given_peak_nbytes != plan.peak_live_nbytes:
        levels.append((timeline.given_peak_nbytes, "peak before", "given"))
    return levels + ([(plan.budget_nbytes, "budget", "budget")] if plan.budget_nbytes is not None else [])


def _map_levels(timeline: Timeline) -> list[tuple[int, str, str]]:
    plan = timeline.plan
    levels = [(plan.arena_nbytes, "arena", "arena")]
    if plan.lower_bound_nbytes is not None:
        levels.append((plan.lower_bound_nbytes, "lower bound", "bound"))
    return levels + ([(plan.budget_nbytes, "budget", "budget")] if plan.budget_nbytes is not None else [])


def _panel(top: float, height: float, limit: int, levels: list[tuple[int, str, str]]) -> dict[str, object]:
    def place(nbytes: int) -> float:
        return round(top + height * (1 - nbytes / limit), 2)

    ticks = [(place(value), text) for value, text in byte_ticks(limit, 5) if value <= limit]
    lines: list[_Level] = []
    for nbytes, group in groupby(sorted(levels, key=lambda level: level[0]), key=lambda level: level[0]):
        found = list(group)
        text = f"{' = '.join(name for _, name, _ in found)} {short_bytes(nbytes)}"
        lines.append({"x": 0.0, "y": place(nbytes), "text": text, "kind": found[-1][2]})
    return {"top": top, "height": height, "ticks": ticks, "levels": _stagger(lines)}


def _stagger(lines: list[_Level]) -> list[_Level]:
    """Put the labels of lines that are close together side by side, so that they do not overlap."""
    shift, before = 0, float("-inf")
    for line in lines:
        shift = shift + 170 if abs(line["y"] - before) < 13 else 0
        line["x"], before = LEFT + _SPAN - 6 - shift, line["y"]
    return lines


def _scaled(nbytes: int, limit: int) -> float:
    """Scale bytes to 0–1000, so that viewers that compute in single precision still draw them exactly."""
    return round(1000 * nbytes / limit, 2)


def _step_path(values: tuple[int, ...], limit: int) -> str:
    return f"M0 1000{_steps_drawn(values, limit)}V1000Z" if values else ""


def _step_line(values: tuple[int, ...], limit: int) -> str:
    return f"M0 {_number(1000 - _scaled(values[0], limit))}{_steps_drawn(values, limit)}" if values else ""


def _steps_drawn(values: tuple[int, ...], limit: int) -> str:
    path, step = [], 0
    for value, run in groupby(values):
        step += len(list(run))
        path.append(f"V{_number(1000 - _scaled(value, limit))}H{step}")
    return "".join(path)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _rectangle(index: int, block: Block, limit: int) -> dict[str, object]:
    a = block.allocation
    return {
        "index": index,
        "x": a.first,
        "y": _number(1000 - _scaled(a.end, limit)),
        "width": a.last - a.first + 1,
        "height": _number(_scaled(a.nbytes, limit)),
        "colour": block.colour if block.colour >= 0 else "w",
    }

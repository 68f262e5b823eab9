"""The plan as a terminal chart: the curve of live bytes above the address map, with a common step axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tvm_memopt.graph import Graph, Plan
from tvm_memopt.report.colours import PALETTE, WORKSPACE, WORKSPACE_COLOUR
from tvm_memopt.report.summary import summary_line
from tvm_memopt.report.text_grid import FREE, address_cells, column_steps, live_columns
from tvm_memopt.report.timeline import Block, Timeline, build_timeline
from tvm_memopt.report.units import clip_text, percent, short_bytes, step_ticks

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_BARS = " ▁▂▃▄▅▆▇█"
_ASCII_BARS = " ..--==##"
_LEGEND_ROWS = 12
_MARGIN = 11


@dataclass(frozen=True, slots=True)
class TextStyle:
    """Size of the whole chart in characters, and whether to use only ASCII."""

    width: int = 100
    height: int = 40
    ascii_only: bool = False

    @property
    def columns(self) -> int:
        """Number of characters left for the step axis."""
        return max(10, self.width - _MARGIN)

    @property
    def curve_rows(self) -> int:
        """Number of rows of the live-bytes curve."""
        return max(2, min(8, self.height // 6))


def print_chart(graph: Graph, plan: Plan, console: Console | None = None) -> None:
    """Print the chart at the size of ``console``, without colour if it is not a terminal. Raises PlanError."""
    from rich.console import Console

    console = console or Console()
    ascii_only = not (console.encoding or "").lower().startswith("utf")
    style = TextStyle(console.width, console.height if console.is_terminal else 40, ascii_only)
    console.print(text_chart(graph, plan, style), soft_wrap=True, highlight=False, markup=False)


def text_chart(graph: Graph, plan: Plan, style: TextStyle | None = None) -> Text:
    """Summary line, live-bytes curve, address map and legend. ``.plain`` is the text without colour.

    Raises PlanError if the plan is not valid.
    """
    from rich.text import Text

    style = style or TextStyle()
    timeline = build_timeline(graph, plan)
    letters = _letters(timeline)
    summary = summary_line(timeline)
    parts = [Text(summary.replace("→", "->") if style.ascii_only else summary, style="bold")]
    if timeline.steps:
        width = _plot_width(timeline, style)
        legend = list(_legend(timeline, letters, style))
        parts += [*_curve(timeline, width, style), *_map(timeline, letters, width, _map_rows(style, len(legend)))]
        parts += [_axis(timeline, width), Text(""), *legend]
        for line in parts[1:]:
            line.truncate(style.width, overflow="ellipsis")
    chart = Text("\n").join(parts)
    if style.ascii_only:
        return _to_ascii(chart)
    return chart


def _plot_width(timeline: Timeline, style: TextStyle) -> int:
    """A whole number of characters per step if they fit, so that all steps have the same width."""
    steps = len(timeline.steps)
    return steps * min(12, style.columns // steps) if steps <= style.columns else style.columns


def _map_rows(style: TextStyle, legend_rows: int) -> int:
    return max(6, min(40, style.height - style.curve_rows - legend_rows - 6))


def _letters(timeline: Timeline) -> dict[int, str]:
    """A letter for each block: first the blocks live at the peak, then by bytes × steps; '+' once letters run out."""
    order = [h.block for h in timeline.holders]
    order += sorted(range(len(timeline.blocks)), key=lambda index: -timeline.blocks[index].area)
    letters: dict[int, str] = {}
    free = iter(LETTERS)
    for block in dict.fromkeys(order):
        letters[block] = "%" if timeline.blocks[block].kind == "workspace" else next(free, "+")
    return letters


def _curve(timeline: Timeline, width: int, style: TextStyle) -> list[Text]:
    from rich.text import Text

    rows, top = style.curve_rows, max(timeline.live)
    bars = _ASCII_BARS if style.ascii_only else _BARS
    columns = live_columns(timeline.live, width)
    peak_step = timeline.peak_step or 0
    peak_column = next(c for c in range(width) if peak_step in column_steps(c, width, len(timeline.live)))
    name = clip_text(f"peak at step {peak_step}: {timeline.steps[peak_step].name}", max(12, width - 2))
    lines = [Text("live bytes".rjust(_MARGIN - 2) + "  " + _marker(peak_column, width, name))]
    for row in range(rows - 1, -1, -1):
        label = short_bytes(top) if row == rows - 1 else ("0" if row == 0 else "")
        levels = [max(0, min(8, round(8 * (value * rows / top - row)))) if top else 0 for value in columns]
        lines.append(Text(f"{label:>{_MARGIN - 2}} ┤") + Text("".join(bars[level] for level in levels), style="cyan"))
    return lines


def _marker(column: int, width: int, text: str) -> str:
    """``text`` beside a ▼ at ``column``, on the side that has room for it."""
    if column + 2 + len(text) <= width or column < len(text) + 1:
        return " " * column + "▼ " + text
    return " " * (column - len(text) - 1) + text + " ▼"


def _map(timeline: Timeline, letters: dict[int, str], width: int, rows: int) -> list[Text]:
    from rich.text import Text

    arena = timeline.plan.arena_nbytes
    allocations = [block.allocation for block in timeline.blocks]
    cells = address_cells(allocations, len(timeline.steps), arena, width, rows)
    lines = [Text("address".rjust(_MARGIN - 2))]
    for row in range(rows - 1, -1, -1):
        label = short_bytes(arena) if row == rows - 1 else ("0" if row == 0 else "")
        line = Text(f"{label:>{_MARGIN - 2}} ┤")
        for block in cells[row]:
            if block == FREE:
                line.append("·", style="dim")
            else:
                line.append(letters[block], style=_paint(timeline.blocks[block]))
        lines.append(line)
    return lines


def _paint(block: Block) -> str:
    fill = WORKSPACE if block.colour == WORKSPACE_COLOUR else PALETTE[block.colour]
    return f"black on {fill}"


def _axis(timeline: Timeline, width: int) -> Text:
    from rich.text import Text

    steps = len(timeline.steps)
    marks = [" "] * width
    for step in step_ticks(0, steps - 1, max(2, width // 10)):
        column = step * width // steps
        label = str(step)
        if column + len(label) <= width and all(c == " " for c in marks[max(0, column - 1) : column + len(label)]):
            marks[column : column + len(label)] = label
    return Text("step".rjust(_MARGIN - 2) + "  " + "".join(marks).rstrip())


def _legend(timeline: Timeline, letters: dict[int, str], style: TextStyle) -> list[Text]:
    from rich.text import Text

    holders = timeline.holders
    lines = [Text(f"held at the peak ({len(holders)} buffers):")]
    for holder in holders[:_LEGEND_ROWS]:
        block = timeline.blocks[holder.block]
        a = block.allocation
        figures = f"{short_bytes(a.nbytes):>9} {percent(holder.cumulative):>7}  steps {a.first}–{a.last}"
        name = clip_text(block.label, max(10, style.width - len(figures) - 6))
        lines.append(Text.assemble((letters[holder.block], _paint(block)), f" {figures}  {name}"))
    if len(holders) > _LEGEND_ROWS:
        rest = sum(h.held_nbytes for h in holders[_LEGEND_ROWS:])
        lines.append(Text(f"  and {len(holders) - _LEGEND_ROWS} smaller ones, {short_bytes(rest)} together"))
    keys = ["· free"] + ["% workspace"] * ("%" in letters.values()) + ["+ other buffers"] * ("+" in letters.values())
    return [*lines, Text("  ".join(keys))]


def _to_ascii(chart: Text) -> Text:
    from rich.text import Text

    table = str.maketrans({"┤": "|", "·": ".", "▼": "v", "–": "-", "−": "-", "…": "~", "µ": "u"})
    plain = chart.plain.translate(table).encode("ascii", "replace").decode("ascii")
    return Text(plain, spans=chart.spans)

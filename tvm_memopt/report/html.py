"""The HTML report: one file that needs no network, next to the files it was made from."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tvm_memopt.atomic import write_text_atomic
from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import Graph, Plan, write_graph, write_plan
from tvm_memopt.report.chart import write_timeline_chart
from tvm_memopt.report.colours import PALETTE, WORKSPACE
from tvm_memopt.report.context import ReportContext
from tvm_memopt.report.html_plot import plot_data, plot_view
from tvm_memopt.report.html_tables import builds_table, holder_rows, making_rows, step_rows, tiles
from tvm_memopt.report.summary import moved_steps, repeated_steps, summary_line
from tvm_memopt.report.timeline import Timeline, build_timeline
from tvm_memopt.report.units import printable

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

TEMPLATE = "report.html.j2"


def write_report(
    directory: str | os.PathLike[str], graph: Graph, plan: Plan, context: ReportContext | None = None
) -> Path:
    """Write report.html, plan.json, graph.json, chart.svg and chart.png into ``directory``, created if missing.

    Returns the path of report.html, which is written last. Raises PlanError if the plan is not valid, and MemoptError
    if a file cannot be written or matplotlib or jinja2 is missing.
    """
    timeline = build_timeline(graph, plan)
    page = render_report(timeline, context or ReportContext())
    folder = Path(directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MemoptError(f"{folder}: the report's folder cannot be made: {error.strerror or error}") from None
    write_timeline_chart(timeline, folder / "chart.svg")
    write_timeline_chart(timeline, folder / "chart.png")
    write_graph(graph, folder / "graph.json")
    write_plan(plan, folder / "plan.json")
    write_text_atomic(folder / "report.html", page)
    return folder / "report.html"


def render_report(timeline: Timeline, context: ReportContext) -> str:
    """Render the HTML text. Raises MemoptError if jinja2 is missing."""
    environment = _environment()
    page = environment.get_template(TEMPLATE).render(
        name=printable(timeline.plan.graph),
        summary=summary_line(timeline),
        tiles=tiles(timeline, context),
        builds=builds_table(context),
        plot=plot_view(timeline),
        data=_script_json(plot_data(timeline)),
        holders=holder_rows(timeline),
        peak_step=timeline.peak_step,
        peak_name=timeline.steps[timeline.peak_step].name if timeline.peak_step is not None else "",
        steps=step_rows(timeline),
        moved=moved_steps(timeline),
        repeated=repeated_steps(timeline),
        making=making_rows(timeline, context),
        notes=[printable(note) for note in context.notes],
        palette=[*PALETTE, WORKSPACE],
    )
    return str(page)


def _environment() -> jinja2.Environment:
    try:
        import jinja2
    except ImportError:
        raise MemoptError("the HTML report needs jinja2: pip install 'tvm-memopt[report]'") from None
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _script_json(value: object) -> Markup:
    """JSON that cannot close its own script element, marked as safe for the template."""
    from markupsafe import Markup

    text = json.dumps(value, separators=(",", ":"))  # ASCII only: U+2028 and the like are escaped
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)

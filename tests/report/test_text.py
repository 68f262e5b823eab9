import io

import pytest
from rich.console import Console

from tests.report.sample_plans import RECOMPUTED, every_feature, first_fit_plan, five_buffers, layered
from tvm_memopt.errors import PlanError
from tvm_memopt.graph import Allocation, Graph
from tvm_memopt.report import TextStyle, build_timeline, print_chart, summary_line, text_chart
from tvm_memopt.report.text_grid import FREE, address_cells, column_steps, live_columns


def test_the_first_line_is_the_summary() -> None:
    graph, plan = five_buffers()
    first = text_chart(graph, plan).plain.splitlines()[0]
    assert first == summary_line(build_timeline(graph, plan))


def test_the_map_shows_each_of_five_buffers_where_it_lies() -> None:
    graph, plan = five_buffers()
    lines = text_chart(graph, plan, TextStyle(100, 30)).plain.splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip() == "address")
    rows = [line.split("┤")[1] for line in lines[start + 1 :] if "┤" in line]
    step = len(rows[0]) // 6
    assert {"".join(row)[step * 3 + 1] for row in rows} == {"A", "B", "C"}
    assert {"".join(row)[step * 5 + 1] for row in rows} == {"C", "E", "·"}
    assert set("".join(rows)) == {"A", "B", "C", "D", "E", "·"}


def test_the_legend_names_the_largest_at_the_peak_first() -> None:
    graph, plan = five_buffers()
    text = text_chart(graph, plan).plain
    legend = text[text.index("held at the peak") :].splitlines()
    assert legend[0] == "held at the peak (3 buffers):"
    assert legend[1].split() == ["A", "128", "KiB", "72.7%", "steps", "3–4", "right"]
    assert legend[3].split()[-1] == "left_small"


def test_the_peak_step_is_marked_above_its_column() -> None:
    graph, plan = five_buffers()
    marker = text_chart(graph, plan, TextStyle(100, 30)).plain.splitlines()[1]
    assert marker.endswith("▼ peak at step 3: expand_right")
    assert (marker.index("▼") - 11) // 12 == 3


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("sample", [five_buffers(RECOMPUTED), every_feature(), layered(300)])
def test_the_chart_keeps_to_its_width(sample: tuple, width: int) -> None:
    lines = text_chart(*sample, TextStyle(width, 30)).plain.splitlines()
    assert max(len(line) for line in lines[1:]) <= width


def test_a_long_plan_is_sampled_without_losing_its_peak() -> None:
    graph, plan = layered(300)
    live = build_timeline(graph, plan).live
    assert max(live_columns(live, 70)) == plan.peak_live_nbytes
    assert [s for c in range(70) for s in column_steps(c, 70, 300)] == list(range(300))


def test_ascii_only_means_ascii_only() -> None:
    graph, plan = every_feature()
    text = text_chart(graph, plan, TextStyle(80, 30, ascii_only=True)).plain
    assert text.isascii()
    assert "->" in text.splitlines()[0]
    assert "% workspace" in text


def test_a_file_gets_no_colour_and_a_terminal_does() -> None:
    graph, plan = five_buffers()
    plain, coloured = io.StringIO(), io.StringIO()
    print_chart(graph, plan, Console(file=plain, width=100))
    print_chart(
        graph, plan, Console(file=coloured, width=100, height=40, force_terminal=True, color_system="truecolor")
    )
    assert "\x1b[" not in plain.getvalue()
    assert "\x1b[" in coloured.getvalue()


def test_names_with_markup_are_printed_as_they_are() -> None:
    graph, plan = five_buffers()
    tensors = tuple(
        type(t)(t.name.replace("right", "[red]x[/red]"), t.nbytes, t.kind, t.arena, t.alias_of) for t in graph.tensors
    )
    hostile = Graph(graph.name, tensors, graph.ops, graph.outputs, graph.alignment)
    out = io.StringIO()
    print_chart(hostile, plan, Console(file=out, width=100))
    assert "[red]x[/red]" in out.getvalue()


def test_an_empty_schedule_prints_just_the_summary() -> None:
    graph = Graph("empty", (), ())
    assert len(text_chart(graph, first_fit_plan(graph)).plain.splitlines()) == 1


def test_a_wrong_plan_is_not_drawn() -> None:
    graph, plan = five_buffers(peak_live_nbytes=1)
    with pytest.raises(PlanError):
        text_chart(graph, plan)


def test_a_cell_belongs_to_whoever_covers_most_of_it_and_mostly_free_cells_are_free() -> None:
    allocations = (Allocation(0, 0, 3, 0, 60), Allocation(1, 0, 3, 60, 40), Allocation(2, 0, 0, 100, 100))
    assert address_cells(allocations, 4, 200, 1, 2) == [[0], [FREE]]
    assert address_cells(allocations, 4, 200, 4, 2) == [[0, 0, 0, 0], [2, FREE, FREE, FREE]]

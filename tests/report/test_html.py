import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.report.sample_plans import RECOMPUTED, every_feature, first_fit_plan, five_buffers, layered
from tvm_memopt.errors import MemoptError, PlanError
from tvm_memopt.graph import Graph, Op, Tensor, read_graph, read_plan
from tvm_memopt.report import BuildFigures, ReportContext, write_report

pytest.importorskip("matplotlib", reason="the report needs the optional package matplotlib")
pytest.importorskip("jinja2", reason="the report needs the optional package jinja2")

FILES = {"report.html", "plan.json", "graph.json", "chart.svg", "chart.png"}
CONTEXT = ReportContext(
    baseline=BuildFigures(300000, 300032, 16384, 20000, 1.2e-3),
    optimized=BuildFigures(163840, 163840, 16384, 12000, 1.21e-3),
    command_line="tvm-memopt optimize model.onnx -o model.so --budget 70%",
    seed=7,
    time_limit=10.0,
    versions={"tvm": "0.27.0"},
    stage_seconds={"extraction": 0.25},
    notes=("one call could not be planned",),
)


class Page(HTMLParser):
    """Text, tags and script data of a page; raises on a tag that is not closed in order."""

    VOID = ("meta", "rect", "path", "link", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def written(folder: Path, sample: tuple, context: ReportContext | None = None) -> str:
    return write_report(folder, *sample, context).read_text(encoding="utf-8")


def embedded(page: str) -> dict:
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert match
    return json.loads(match[1])


def test_the_folder_holds_the_page_and_what_it_was_made_from(tmp_path: Path) -> None:
    graph, plan = five_buffers()
    path = write_report(tmp_path / "new" / "report", graph, plan)
    assert path == tmp_path / "new" / "report" / "report.html"
    assert {p.name for p in path.parent.iterdir()} == FILES
    assert read_graph(path.parent / "graph.json") == graph
    assert read_plan(path.parent / "plan.json") == plan


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    page = written(tmp_path, every_feature(), CONTEXT)
    assert set(re.findall(r"https?://[^\s\"']+", page)) == {"http://www.w3.org/2000/svg"}
    loading = {"src", "href", "srcset", "data", "action"}
    assert not [(tag, attrs) for tag, attrs in Page(page).tags if loading & attrs.keys()]
    assert "@import" not in page


def test_tiles_say_before_and_after(tmp_path: Path) -> None:
    text = Page(written(tmp_path, five_buffers(RECOMPUTED), CONTEXT)).text
    for figure in (
        "Peak live 256 KiB → 160 KiB −37.5%",
        "Arena 293 KiB → 160 KiB −45.4% · TVM’s own plan: 300000 B",
        "Lower bound 160 KiB reached: proved optimal",
        "Fragmentation 0.0%",
        "Recompute 8.3% steps that repeat an op: 1",
        "Allocated, measured 329 KiB → 188 KiB",
        "Time of one run 1.20 ms → 1.21 ms +0.8%",
    ):
        assert figure in text


def test_the_report_stands_without_any_context(tmp_path: Path) -> None:
    text = Page(written(tmp_path, five_buffers())).text
    assert "Peak live 256 KiB → 176 KiB" in text
    assert "Comparison with TVM" not in text
    assert "Allocated, measured" not in text


def test_builds_are_compared_and_a_part_not_measured_is_a_dash(tmp_path: Path) -> None:
    context = ReportContext(baseline=BuildFigures(planned_nbytes=2048), optimized=BuildFigures(seconds=0.5))
    text = Page(written(tmp_path, five_buffers(), context)).text
    assert "planned arena 2048 B (2 KiB) –" in text
    assert "time of one run – 500 ms" in text
    assert "all memory" not in text


def test_weights_stand_beside_the_size_of_the_file(tmp_path: Path) -> None:
    graph, plan = five_buffers()
    assert "Weights" not in Page(written(tmp_path, (graph, plan))).text
    weights = (
        Tensor("w", 1536, "weight", arena=False),
        Tensor("view", 512, "weight", arena=False, alias_of=len(graph.tensors)),
    )
    graph = replace(graph, tensors=(*graph.tensors, *weights))
    text = Page(written(tmp_path, (graph, plan), ReportContext(model_nbytes=2048))).text
    assert "Weights 1.50 KiB file: 2048 B (2 KiB)" in text
    sizes = {"weights": {"int8": 1024, "int32": 512}, "activations": {"int8": 2048}}
    text = Page(written(tmp_path, (graph, plan), ReportContext(model_nbytes=2048, nbytes_by_type=sizes))).text
    assert "file: 2048 B (2 KiB); int8 1024 B (1 KiB), int32 512 B" in text
    assert "Activations in all 2 KiB int8 2048 B (2 KiB)" in text


def test_tables_name_holders_moves_repeats_and_how_it_was_made(tmp_path: Path) -> None:
    text = Page(written(tmp_path, five_buffers(RECOMPUTED), CONTEXT)).text
    assert "right 131,072 128 KiB 80.0% 80.0% expand_right (step 1) pool_right (step 2) no: in use at the peak" in text
    assert "3 0 stem repeated, run 2" in text
    assert "1 2 expand_right moved" in text
    for fact in ("seed 7", "time limit 10 s", "version of tvm 0.27.0", "extraction 250 ms", CONTEXT.command_line or ""):
        assert fact in text
    assert "one call could not be planned" in text


def test_an_idle_holder_has_its_price(tmp_path: Path) -> None:
    text = Page(written(tmp_path, five_buffers())).text
    assert "one more run: cost 3e-05, 12.5% of all compute, 1.88e-06 per KiB" in text


def test_the_scripts_data_agree_with_the_plan(tmp_path: Path) -> None:
    graph, plan = every_feature()
    data = embedded(written(tmp_path, (graph, plan)))
    assert [tuple(b[:4]) for b in data["blocks"]] == [(a.first, a.last, a.offset, a.nbytes) for a in plan.allocations]
    assert [s[0] for s in data["steps"]] == [graph.ops[op].name for op in plan.schedule]
    assert max(s[1] for s in data["steps"]) == plan.peak_live_nbytes
    by_label = {b[5]: b for b in data["blocks"]}
    assert by_label["b (run 2)"][6:] == ["relu", [8], 1]
    assert by_label["y"][8] == 2
    assert by_label["workspace of dense"][8] == 4


def test_without_its_script_the_page_still_draws_every_block(tmp_path: Path) -> None:
    graph, plan = every_feature()
    rectangles = [a for tag, a in Page(written(tmp_path, (graph, plan))).tags if (a.get("id") or "").startswith("b")]
    drawn = [(int(a["x"] or 0), int(a["width"] or 0)) for a in rectangles if re.fullmatch(r"b\d+", a["id"] or "")]
    assert drawn == [(a.first, a.last - a.first + 1) for a in plan.allocations]


def test_hostile_names_never_become_markup(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><!--"
    ops = (Op(evil, (), (0,), 1e-6), Op('" onload="x', (0,), (1,), 1e-6))
    graph = Graph(evil, (Tensor(evil, 4096), Tensor("{{ 7 * 7 }}\x00'\u2028", 4096)), ops, (1,))
    context = ReportContext(command_line=evil, notes=(evil,), versions={evil: evil})
    page = written(tmp_path, (graph, first_fit_plan(graph, solver={"name": evil, "log": evil})), context)
    assert "<script>alert" not in page
    assert "<!--" not in page
    parsed = Page(page)
    assert [tag for tag, _ in parsed.tags].count("script") == 2
    assert not [a for _, a in parsed.tags if "onload" in a]
    assert "{{ 7 * 7 }}" in parsed.text
    assert embedded(page)["blocks"][0][5] == evil


def test_seven_hundred_ops_stay_below_a_megabyte_and_a_half(tmp_path: Path) -> None:
    page = written(tmp_path, layered(700, 12))
    assert len(page.encode()) < 1_500_000
    assert len(embedded(page)["steps"]) == 700


def test_an_empty_schedule_is_said_to_be_empty(tmp_path: Path) -> None:
    graph = Graph("empty", (), ())
    assert "The schedule is empty" in Page(written(tmp_path, (graph, first_fit_plan(graph)))).text


def test_light_dark_and_print_are_all_styled(tmp_path: Path) -> None:
    page = written(tmp_path, five_buffers())
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_a_wrong_plan_leaves_nothing_behind(tmp_path: Path) -> None:
    graph, plan = five_buffers(cost=0.0)
    with pytest.raises(PlanError):
        write_report(tmp_path / "report", graph, plan)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MemoptError, match=r"file/report: the report's folder cannot be made"):
        write_report(tmp_path / "file" / "report", *five_buffers())


def test_without_jinja_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MemoptError, match=r"pip install 'tvm-memopt\[report\]'"):
        write_report(tmp_path / "report", *five_buffers())
    assert list(tmp_path.iterdir()) == []

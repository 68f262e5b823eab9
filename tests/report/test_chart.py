import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.report.sample_plans import RECOMPUTED, every_feature, first_fit_plan, five_buffers, layered
from tvm_memopt.errors import MemoptError, PlanError
from tvm_memopt.graph import Graph, Op, Tensor
from tvm_memopt.report import write_chart

DOCS = Path(__file__).parents[2] / "docs"
pytest.importorskip("matplotlib", reason="charts need the optional package matplotlib")


def svg_text(path: Path) -> str:
    return "\n".join(element.text or "" for element in ET.parse(path).iter("{http://www.w3.org/2000/svg}text"))


def test_an_svg_parses_and_says_names_sizes_and_lines(tmp_path: Path) -> None:
    graph, plan = five_buffers(RECOMPUTED, budget_nbytes=168 * 1024)
    write_chart(graph, plan, tmp_path / "chart.svg")
    text = svg_text(tmp_path / "chart.svg")
    for label in ("right · 128 KiB", "left_small", "stem (run 2)", "3 stem (again)", "peak at step 1: expand_right"):
        assert label in text
    for line in ("peak before", "256 KiB", "budget", "168 KiB", "arena = lower bound", "160 KiB", "five-buffers"):
        assert line in text


def test_workspaces_are_hatched_and_named_in_the_legend(tmp_path: Path) -> None:
    graph, plan = every_feature()
    write_chart(graph, plan, tmp_path / "chart.svg")
    assert "<pattern" in (tmp_path / "chart.svg").read_text()
    assert "workspace of dense, 512 B" in svg_text(tmp_path / "chart.svg")


def test_a_png_is_a_png(tmp_path: Path) -> None:
    write_chart(*five_buffers(), tmp_path / "chart.PNG")
    assert (tmp_path / "chart.PNG").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_the_same_plan_gives_the_same_file(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        write_chart(*every_feature(), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_long_plan_stays_a_small_file(tmp_path: Path) -> None:
    write_chart(*layered(700, 12), tmp_path / "chart.svg")
    ET.parse(tmp_path / "chart.svg")
    assert (tmp_path / "chart.svg").stat().st_size < 1_000_000


def test_hostile_names_are_text_and_nothing_else(tmp_path: Path) -> None:
    names = ("<script>alert(1)</script>", "$\\frac{1$", "a\x00\nb")
    ops = [Op(f"op{i}$", (i - 1,) if i else (), (i,), 1e-6) for i in range(3)]
    graph = Graph("$x_{$ & <b>", tuple(Tensor(name, 4096) for name in names), tuple(ops), (2,))
    write_chart(graph, first_fit_plan(graph), tmp_path / "chart.svg")
    assert "$\\frac{1$" in svg_text(tmp_path / "chart.svg")
    assert "<script" not in (tmp_path / "chart.svg").read_text()


def test_an_empty_schedule_is_an_empty_chart(tmp_path: Path) -> None:
    graph = Graph("empty", (), ())
    write_chart(graph, first_fit_plan(graph), tmp_path / "chart.svg")
    assert "empty" in svg_text(tmp_path / "chart.svg")


@pytest.mark.parametrize("name", ["chart.pdf", "chart", "chart.svg.gz"])
def test_another_extension_is_one_clear_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(MemoptError, match=r"drawn as \.png or \.svg") as caught:
        write_chart(*five_buffers(), tmp_path / name)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_plan_leaves_no_file(tmp_path: Path) -> None:
    graph, plan = five_buffers(arena_nbytes=1)
    with pytest.raises(PlanError):
        write_chart(graph, plan, tmp_path / "chart.svg")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(MemoptError, match=r"chart\.svg: cannot be written"):
        write_chart(*five_buffers(), tmp_path / "absent" / "chart.svg")


def test_a_failure_while_drawing_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    def full_disk(self: Figure, path: Path, **_: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    (tmp_path / "chart.svg").write_text("old")
    monkeypatch.setattr(Figure, "savefig", full_disk)
    with pytest.raises(MemoptError, match="No space left on device"):
        write_chart(*five_buffers(), tmp_path / "chart.svg")
    assert [p.name for p in tmp_path.iterdir()] == ["chart.svg"]
    assert (tmp_path / "chart.svg").read_text() == "old"


def test_without_matplotlib_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MemoptError, match=r"pip install 'tvm-memopt\[report\]'"):
        write_chart(*five_buffers(), tmp_path / "chart.svg")


def test_the_picture_in_the_docs_is_of_the_five_buffers() -> None:
    text = svg_text(DOCS / "five_buffers.svg")
    for label in ("five-buffers", "stem", "left", "left_small", "right", "right_small", "176 KiB", "256 KiB"):
        assert label in text

from pathlib import Path

import pytest

from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import given_order, peak_live, read_graph
from tvm_memopt.solvers import Request
from tvm_memopt.solvers.sweep import sweep

pytest.importorskip("matplotlib", reason="curves are drawn with matplotlib")
GRAPH = read_graph(Path(__file__).parents[1] / "data" / "remat" / "CM1.json")


def test_curve_names_every_status_and_is_the_same_again(tmp_path: Path) -> None:
    from tvm_memopt.report.curve import write_curve

    given = peak_live(GRAPH, given_order(GRAPH))
    plans = sweep(GRAPH, [given, 1], Request(time_limit=5, threads=1))
    for name in ("one.svg", "two.svg", "curve.png"):
        write_curve("CM1: memory against time", plans, tmp_path / name)
    text = (tmp_path / "one.svg").read_text()
    assert text == (tmp_path / "two.svg").read_text()
    for words in ("CM1: memory against time", "proved impossible", "0.00 %", "extra run time"):
        assert words in text
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_other_extensions_are_refused(tmp_path: Path) -> None:
    from tvm_memopt.report.curve import write_curve

    with pytest.raises(MemoptError, match="svg"):
        write_curve("", [], tmp_path / "curve.pdf")
    assert list(tmp_path.iterdir()) == []

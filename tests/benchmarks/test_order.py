import json
from pathlib import Path

import pytest
from hypothesis import given, settings

from benchmarks import order, rival_orders, tables
from tests.solvers.order.native_tools import assert_valid, rich_graphs
from tvm_memopt.graph import Graph, given_order, peak_live, read_graph

RIVALS = ("xla_list", "xla_dfs", "xla_post_order", "inductor_lpmf", "onnx_runtime")
PUBLISHED = Path(__file__).parents[1] / "data" / "remat"


@pytest.mark.parametrize("rival", RIVALS)
@given(graph=rich_graphs(max_ops=20))
@settings(max_examples=30, deadline=None)
def test_rival_order_is_valid(rival: str, graph: Graph) -> None:
    assert_valid(graph, getattr(rival_orders, rival)(graph))


@pytest.mark.parametrize(
    ("rival", "shares"),
    [
        ("xla_list", (1.1157, 0.8936, 0.9783, 0.9855)),
        ("inductor_lpmf", (1.1157, 0.9467, 0.9829, 0.9403)),
        ("onnx_runtime", (1.0823, 0.9693, 0.9734, 1.0170)),
    ],
)
def test_rival_order_has_the_peak_measured_with_the_original(rival: str, shares: tuple[float, ...]) -> None:
    for name, share in zip(("G1", "G2", "G3", "G4"), shares, strict=True):
        graph = read_graph(PUBLISHED / f"{name}.json")
        found = peak_live(graph, getattr(rival_orders, rival)(graph)) / peak_live(graph, given_order(graph))
        assert round(found, 4) == share


def test_benchmark_prints_its_tables_and_keeps_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    assert order.main(["G2", "--layered", "40", "--graphs", "2", "--seconds", "5"]) == 0
    printed = capsys.readouterr().out
    assert "105,170" in printed
    assert "Mean gap" in printed
    rows = json.loads((tmp_path / "order.json").read_text())["rows"]
    assert (rows["G2"]["ours 5 s"]["peak"], len(rows)) == (105_170, 3)

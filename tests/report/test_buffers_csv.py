import csv
import io
from itertools import combinations
from pathlib import Path

import pytest

from tests.report.sample_plans import RECOMPUTED, every_feature, five_buffers, layered
from tvm_memopt.errors import MemoptError, PlanError
from tvm_memopt.graph import Allocation, Graph, Op, Plan, Tensor, check
from tvm_memopt.report import buffers_csv, write_buffers_csv

SAMPLES = [five_buffers(), five_buffers(RECOMPUTED), every_feature(), layered(60)]


def rows(graph: Graph, plan: Plan) -> list[dict[str, int]]:
    return [{k: int(v) for k, v in row.items()} for row in csv.DictReader(io.StringIO(buffers_csv(graph, plan)))]


def test_columns_are_those_of_minimalloc() -> None:
    assert buffers_csv(*five_buffers()).splitlines()[0] == "id,lower,upper,size,offset"


def test_without_in_place_pairs_the_allocations_come_back() -> None:
    graph, plan = five_buffers()
    found = [(r["lower"], r["upper"] - 1, r["offset"], r["size"]) for r in rows(graph, plan)]
    assert found == [(a.first, a.last, a.offset, a.nbytes) for a in plan.allocations]
    assert [r["id"] for r in rows(graph, plan)] == list(range(5))


@pytest.mark.parametrize("sample", SAMPLES)
def test_no_two_rows_share_a_byte_at_a_time(sample: tuple[Graph, Plan]) -> None:
    for a, b in combinations(rows(*sample), 2):
        apart_in_time = a["upper"] <= b["lower"] or b["upper"] <= a["lower"]
        assert apart_in_time or a["offset"] + a["size"] <= b["offset"] or b["offset"] + b["size"] <= a["offset"]


@pytest.mark.parametrize("sample", SAMPLES)
def test_rows_hold_at_each_step_what_the_plan_holds(sample: tuple[Graph, Plan]) -> None:
    graph, plan = sample
    table = rows(graph, plan)
    held = [sum(r["size"] for r in table if r["lower"] <= s < r["upper"]) for s in range(len(plan.schedule))]
    assert max(held) == plan.peak_live_nbytes
    assert max(r["offset"] + r["size"] for r in table) == plan.arena_nbytes


@pytest.mark.parametrize(("first", "second"), [(128, 64), (64, 128), (64, 64)])
def test_of_an_in_place_pair_the_larger_keeps_the_shared_step(first: int, second: int) -> None:
    tensors = (Tensor("x", first, "input", True), Tensor("y", second))
    graph = Graph("pair", tensors, (Op("copy", (0,), (1,), inplace=((0, 1),)), Op("use", (1,), ())), ())
    allocations = (Allocation(0, 0, 0, 0, first), Allocation(1, 0, 1, 0, second))
    largest = max(first, second)
    plan = Plan("pair", (0, 1), allocations, 1, largest, largest, 0.0, 0.0, "feasible")
    check(graph, plan)
    table = rows(graph, plan)
    assert sum(r["size"] for r in table if r["lower"] <= 0 < r["upper"]) == largest
    assert [r["size"] for r in table if r["lower"] <= 1 < r["upper"]] == [second]


def test_the_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_buffers_csv(*five_buffers(), tmp_path / "buffers.csv")
    assert (tmp_path / "buffers.csv").read_text() == buffers_csv(*five_buffers())
    with pytest.raises(MemoptError, match="cannot be written"):
        write_buffers_csv(*five_buffers(), tmp_path / "absent" / "buffers.csv")
    graph, wrong = five_buffers(arena_nbytes=7)
    with pytest.raises(PlanError):
        write_buffers_csv(graph, wrong, tmp_path / "wrong.csv")
    assert [p.name for p in tmp_path.iterdir()] == ["buffers.csv"]

import json
from itertools import pairwise
from pathlib import Path

import pytest

from tests.report.sample_plans import RECOMPUTED, every_feature, first_fit_plan, five_buffers, layered
from tvm_memopt.errors import PlanError
from tvm_memopt.graph import Graph, Op, Plan, Tensor
from tvm_memopt.report import trace_json, write_trace

SAMPLES = [five_buffers(RECOMPUTED), every_feature(), layered(60)]


def slices(graph: Graph, plan: Plan) -> dict[tuple[int, int], list[dict]]:
    tracks: dict[tuple[int, int], list[dict]] = {}
    for event in json.loads(trace_json(graph, plan))["traceEvents"]:
        if event["ph"] == "X":
            tracks.setdefault((event["pid"], event["tid"]), []).append(event)
    return tracks


@pytest.mark.parametrize("sample", SAMPLES)
def test_no_two_events_of_a_track_overlap(sample: tuple[Graph, Plan]) -> None:
    for events in slices(*sample).values():
        spans = sorted((round(e["ts"] * 1000), round((e["ts"] + e["dur"]) * 1000)) for e in events)
        assert all(before[1] <= after[0] for before, after in pairwise(spans))
        assert all(start < end for start, end in spans)


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_buffer_and_every_step_is_there(sample: tuple[Graph, Plan]) -> None:
    graph, plan = sample
    tracks = slices(graph, plan)
    assert len(tracks[(1, 1)]) == len(plan.schedule)
    placed = sorted(e["args"]["offset"] for (pid, _), events in tracks.items() if pid == 2 for e in events)
    assert placed == sorted(a.offset for a in plan.allocations)


def test_the_time_axis_is_the_summed_cost() -> None:
    graph, plan = five_buffers()
    ops = slices(graph, plan)[(1, 1)]
    assert ops[0]["dur"] == pytest.approx(20)
    assert ops[-1]["ts"] + ops[-1]["dur"] == pytest.approx(plan.cost * 1e6)


def test_counters_follow_live_bytes_and_arena_top() -> None:
    graph, plan = every_feature()
    events = json.loads(trace_json(graph, plan))["traceEvents"]
    values = {n: [e["args"]["bytes"] for e in events if e["name"] == n] for n in ("live bytes", "arena top")}
    assert max(values["live bytes"]) == plan.peak_live_nbytes
    assert max(values["arena top"]) == plan.arena_nbytes
    assert values["live bytes"][-1] == 0
    assert all(live <= top for live, top in zip(*values.values(), strict=True))


@pytest.mark.parametrize("cost", [0.0, 1e-12, 1e12])
def test_costs_of_any_unit_give_whole_nanoseconds_that_fit_64_bits(cost: float) -> None:
    tensors, ops = (Tensor("a", 64), Tensor("b", 64)), (Op("f", (), (0,), cost), Op("g", (0,), (1,), 3 * cost))
    graph = Graph("costs", tensors, ops, (1,))
    trace = json.loads(trace_json(graph, first_fit_plan(graph)))
    ends = [e["ts"] + e["dur"] for e in trace["traceEvents"] if e["ph"] == "X"]
    assert 0 < max(ends) * 1000 < 2**62
    assert trace["otherData"]["time axis"]


def test_the_file_is_the_text(tmp_path: Path) -> None:
    write_trace(*five_buffers(), tmp_path / "trace.json")
    assert (tmp_path / "trace.json").read_text() == trace_json(*five_buffers())
    assert [p.name for p in tmp_path.iterdir()] == ["trace.json"]


def test_a_wrong_plan_is_not_exported() -> None:
    graph, plan = five_buffers(arena_nbytes=7)
    with pytest.raises(PlanError):
        trace_json(graph, plan)

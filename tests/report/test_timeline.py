from dataclasses import replace

import pytest

from tests.report.sample_plans import RECOMPUTED, REORDERED, every_feature, first_fit_plan, five_buffers, layered
from tvm_memopt.errors import PlanError
from tvm_memopt.graph import Graph, Op, Plan, Tensor, live_profile
from tvm_memopt.report import build_timeline, summary_line
from tvm_memopt.report.colours import PALETTE, WORKSPACE_COLOUR
from tvm_memopt.report.moves import moved_ops

KIB = 1024


def test_a_wrong_plan_is_never_laid_out() -> None:
    graph, plan = five_buffers()
    wrong = replace(plan, allocations=tuple(replace(a, offset=0) for a in plan.allocations))
    with pytest.raises(PlanError, match="overlap"):
        build_timeline(graph, wrong)


@pytest.mark.parametrize("sample", [five_buffers(), five_buffers(RECOMPUTED), every_feature(), layered(80)])
def test_the_stack_is_as_high_as_the_bytes_held(sample: tuple[Graph, Plan]) -> None:
    timeline = build_timeline(*sample)
    assert max(timeline.live) == timeline.plan.peak_live_nbytes
    assert timeline.peak_step is not None
    assert timeline.live[timeline.peak_step] == timeline.plan.peak_live_nbytes
    for step, live in enumerate(timeline.live):
        bands = sorted((b.bottom, b.height) for b in timeline.bands if b.first <= step <= b.last)
        assert sum(height for _, height in bands) == live
        assert [bottom for bottom, _ in bands] == [sum(h for _, h in bands[:i]) for i in range(len(bands))]


def test_five_buffers_have_the_peaks_that_the_docs_say() -> None:
    graph, plan = five_buffers()
    timeline = build_timeline(graph, plan)
    assert timeline.given_peak_nbytes == 256 * KIB
    assert plan.peak_live_nbytes == plan.arena_nbytes == 176 * KIB
    _, recomputed = five_buffers(RECOMPUTED)
    assert recomputed.arena_nbytes == recomputed.lower_bound_nbytes == 160 * KIB


def test_without_in_place_pairs_the_live_curve_is_the_graphs_own() -> None:
    graph, plan = five_buffers()
    assert list(build_timeline(graph, plan).live) == live_profile(graph, plan.schedule)


def test_bands_cover_each_life_without_a_gap() -> None:
    timeline = build_timeline(*every_feature())
    for index, block in enumerate(timeline.blocks):
        steps = [s for b in timeline.bands if b.block == index for s in range(b.first, b.last + 1)]
        assert steps == list(range(block.allocation.first, block.allocation.last + 1))


def test_bytes_that_an_in_place_pair_shares_stand_once_in_the_stack() -> None:
    graph, plan = every_feature()
    timeline = build_timeline(graph, plan)
    labels = {block.label: index for index, block in enumerate(timeline.blocks)}
    source, target = timeline.blocks[labels["a (run 2)"]], timeline.blocks[labels["b (run 2)"]]
    assert source.allocation.offset == target.allocation.offset
    step = target.allocation.first
    heights = {b.block: b.height for b in timeline.bands if b.first <= step <= b.last}
    assert sorted((heights[labels["a (run 2)"]], heights[labels["b (run 2)"]])) == [0, 8192]


def test_reads_belong_to_the_newest_instance_and_pass_through_views() -> None:
    timeline = build_timeline(*every_feature())
    reads = {block.label: block.reads for block in timeline.blocks if block.kind != "workspace"}
    assert reads["a"] == (1, 2)
    assert reads["a (run 2)"] == (6, 7)
    assert reads["b"] == (3,)
    assert reads["b (run 2)"] == (8,)
    assert reads["unused"] == ()


def test_blocks_know_their_kind_producer_and_fate() -> None:
    timeline = build_timeline(*every_feature())
    by_label = {block.label: block for block in timeline.blocks}
    assert by_label["x"].producer is None
    assert by_label["x"].kind == "input"
    assert by_label["workspace of dense"].kind == "workspace"
    assert by_label["y"].returned
    assert not by_label["d"].returned


def test_moved_and_repeated_ops_are_marked() -> None:
    timeline = build_timeline(*five_buffers(RECOMPUTED))
    assert [step.op for step in timeline.steps] == list(RECOMPUTED)
    assert [step.run for step in timeline.steps] == [0, 0, 0, 1, 0, 0, 0]
    assert {step.op for step in timeline.steps if step.moved} == {2, 4}


def test_as_few_ops_as_possible_count_as_moved() -> None:
    assert moved_ops((0, 1, 2, 3)) == frozenset()
    assert moved_ops((3, 0, 1, 2)) == {3}
    assert moved_ops((0, 1, 0, 2)) == frozenset()
    assert len(moved_ops((3, 2, 1, 0))) == 3
    assert len(moved_ops(REORDERED)) == 1


def test_holders_come_largest_first_and_add_up_to_the_peak() -> None:
    timeline = build_timeline(*five_buffers())
    names = [timeline.blocks[h.block].label for h in timeline.holders]
    assert names == ["right", "stem", "left_small"]
    assert sum(h.held_nbytes for h in timeline.holders) == timeline.plan.peak_live_nbytes
    assert timeline.holders[-1].cumulative == 1.0


def test_only_an_idle_recomputable_holder_could_go() -> None:
    timeline = build_timeline(*five_buffers())
    could_go = {timeline.blocks[h.block].label: h.remat_cost for h in timeline.holders}
    assert could_go == {"right": None, "stem": None, "left_small": timeline.graph.ops[3].cost}
    feature = build_timeline(*every_feature())
    held_input = next(h for h in feature.holders if feature.blocks[h.block].label == "x")
    assert not held_input.in_use
    assert held_input.remat_cost is None


def test_every_instance_of_a_tensor_has_one_colour_and_neighbours_differ() -> None:
    timeline = build_timeline(*five_buffers(RECOMPUTED))
    by_label = {block.label: block.colour for block in timeline.blocks}
    assert by_label["stem"] == by_label["stem (run 2)"]
    assert len(set(by_label.values())) == 5
    assert all(0 <= colour < len(PALETTE) for colour in by_label.values())


def test_workspaces_share_the_colour_of_no_tensor() -> None:
    timeline = build_timeline(*every_feature())
    assert {b.kind == "workspace" for b in timeline.blocks if b.colour == WORKSPACE_COLOUR} == {True}
    assert all(b.colour == WORKSPACE_COLOUR for b in timeline.blocks if b.kind == "workspace")


def test_an_empty_schedule_has_no_peak() -> None:
    graph = Graph("empty", (Tensor("w", 8, "weight", False),), ())
    timeline = build_timeline(graph, first_fit_plan(graph))
    assert timeline.peak_step is None
    assert timeline.holders == ()


def test_the_summary_says_every_figure() -> None:
    text = summary_line(build_timeline(*five_buffers(RECOMPUTED, budget_nbytes=168 * KIB)))
    assert text == (
        "peak 262144 B (256 KiB) → 163840 B (160 KiB) (−37.5%), arena 163840 B (160 KiB), "
        "lower bound 163840 B (160 KiB), gap 0 B (0.0%), extra compute 8.3%, budget 172032 B (168 KiB), "
        "12 ms, feasible by first-fit"
    )


def test_the_summary_holds_without_bound_or_seconds() -> None:
    text = summary_line(build_timeline(*five_buffers(lower_bound_nbytes=None, solver={})))
    assert "no lower bound" in text
    assert text.endswith("feasible by an unnamed solver")


def test_a_graph_without_costs_has_no_extra_compute() -> None:
    graph = Graph("free", (Tensor("a", 64), Tensor("b", 64)), (Op("f", (), (0,)), Op("g", (0,), (1,))), (1,))
    assert "extra compute 0.0%" in summary_line(build_timeline(graph, first_fit_plan(graph, (0, 0, 1))))

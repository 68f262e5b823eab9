import numpy as np
import pytest

pytest.importorskip("tvm", reason="features are those of TVM's modules")

from tests.cost_model.programs_by_hand import matmul, pipeline, sampled, scheduled_matmul, tiled_pipeline
from tests.twins.features.extract import extract_slowly
from tvm_memopt.cost_model.features import columns as names
from tvm_memopt.cost_model.features.extract import compress, extract

FIELDS = ("nodes", "node_starts", "edges", "edge_values", "edge_starts")
READS, WRITES = ("buffer", "is_read_by", "statement"), ("statement", "writes", "buffer")
FEEDS, CONTAINS, NESTS = (
    ("statement", "feeds", "statement"),
    ("loop", "contains", "statement"),
    ("loop", "nests", "loop"),
)


def rows(graphs, node_type):
    return [dict(zip(names.NODE_COLUMNS[node_type], row, strict=True)) for row in graphs.nodes[node_type]]


def edges(graphs, key):
    columns = names.EDGE_COLUMNS[key]
    return {
        tuple(map(int, ends)): dict(zip(columns, values, strict=True))
        for ends, values in zip(graphs.edges[key].T, graphs.edge_values[key], strict=True)
    }


def assert_same(first, second):
    for field in FIELDS:
        one, other = getattr(first, field), getattr(second, field)
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key], err_msg=f"{field} {key}")


def chosen(row, *wanted):
    return [row[name] for name in wanted]


def test_arithmetic_and_points_of_a_matmul_are_those_of_its_formula():
    init, update = rows(extract([matmul()]), "statement")
    assert chosen(update, "float_add", "float_mul", "load", "reads", "int_add") == [1, 1, 3, 3, 0]
    assert chosen(update, "spatial_points", "reduction_points", "iterations", "recompute") == [512, 8, 4096, 1]
    assert chosen(update, "is_init", "is_reduction", "item_nbytes", "is_float") == [0, 1, 4, 1]
    assert chosen(init, "is_init", "iterations", "float_add", "load") == [1, 512, 0, 0]


def test_loops_have_their_extent_kind_depth_and_place():
    loops = rows(extract([scheduled_matmul()]), "loop")
    assert [loop["extent"] for loop in loops] == [16, 4, 8, 8]
    kinds = [[k for k in names.LOOP_KINDS if loop[k]] for loop in loops]
    assert kinds == [["parallel"], ["serial"], ["unrolled"], ["vectorized"]]
    assert [loop["depth"] for loop in loops] == [0, 1, 2, 3]
    assert [loop["outer_iterations"] for loop in loops] == [1, 16, 64, 512]
    assert [loop["inner_iterations"] for loop in loops] == [256, 64, 8, 1]
    assert [loop["reduces"] for loop in loops] == [0, 0, 2, 0]
    # One row of a and c, all of b: 8 * 4 + 32 * 4 + 8 * 32 * 4 bytes in an iteration of the outermost loop.
    assert loops[0]["nbytes_an_iteration"] == 32 + 128 + 1024
    assert loops[0]["nbytes"] == 16 * 8 * 4 + 8 * 32 * 4 + 16 * 32 * 4


def test_a_schedule_shows_in_the_statement():
    _, update = rows(extract([scheduled_matmul()]), "statement")
    assert chosen(update, "parallel_extent", "vector_extent", "unrolled_extent") == [16, 8, 8]
    assert chosen(update, "innermost_vectorized", "innermost_extent", "innermost_reduces") == [1, 8, 0]
    assert chosen(update, "nest1_iterations", "nest2_iterations", "nest3_iterations") == [8, 64, 256]
    # Innermost: 8 of c, 8 of b, 1 of a. With k: 8 of c, 64 of b, 8 of a.
    assert chosen(update, "nest1_nbytes", "nest2_nbytes") == [17 * 4, 80 * 4]


def test_accesses_have_strides_bytes_and_reuse():
    graphs = extract([scheduled_matmul()])
    found = edges(graphs, READS)
    a, b, c = found[0, 1], found[1, 1], found[2, 1]
    assert chosen(a, "stride_inner", "stride_second", "invariant", "contiguous") == [0, 1, 1, 0]
    assert chosen(b, "stride_inner", "stride_second", "invariant", "contiguous") == [1, 32, 0, 1]
    assert chosen(c, "stride_inner", "stride_second", "contiguous", "is_update") == [1, 0, 1, 1]
    assert [e["nbytes"] for e in (a, b, c)] == [4096 * 4] * 3
    assert [e["unique_nbytes"] for e in (a, b, c)] == [16 * 8 * 4, 8 * 32 * 4, 16 * 32 * 4]
    assert [e["unique_lines"] for e in (a, b, c)] == [8, 16, 32]
    assert a["reuse_count"] == 8  # the innermost loop does not move a
    assert a["reuse_distance_iterations"] == 1
    assert b["reuse_count"] == 16  # only i does not move b: all of b lies between two uses
    assert b["reuse_distance_iterations"] == 256
    assert set(edges(graphs, WRITES)) == {(0, 2), (1, 2)}


def test_containment_and_nesting_follow_the_loop_tree():
    graphs = extract([scheduled_matmul()])
    assert set(edges(graphs, NESTS)) == {(0, 1), (1, 2), (2, 3)}
    contained = edges(graphs, CONTAINS)
    assert set(contained) == {(loop, statement) for loop in range(4) for statement in (0, 1)}
    assert chosen(contained[2, 1], "position", "height", "reduces", "inner_iterations") == [2, 1, 1, 8]
    assert contained[0, 1]["stride_write"] == 32


def test_a_stage_at_the_root_feeds_the_next_through_its_whole_buffer():
    graphs = extract([pipeline()])
    buffer = rows(graphs, "buffer")[2]
    assert chosen(buffer, "nbytes", "declared_nbytes", "realisations", "readers", "writers") == [256, 256, 1, 1, 1]
    feed = edges(graphs, FEEDS)[0, 1]
    assert chosen(feed, "nbytes", "realisation_nbytes", "realisations", "common_loops") == [256, 256, 1, 0]
    assert feed["read_nbytes"] == 62 * 3 * 4
    assert edges(graphs, READS)[2, 1]["loads"] == 3


def test_a_stage_computed_for_each_tile_needs_a_tile_and_repeats_the_halo():
    graphs = extract([tiled_pipeline()])
    first, _ = rows(graphs, "statement")
    assert chosen(first, "iterations", "spatial_points") == [66, 64]
    assert first["recompute"] == 66 / 64
    buffer = rows(graphs, "buffer")[2]
    assert chosen(buffer, "nbytes", "declared_nbytes", "realisations", "is_stack") == [33 * 4, 256, 2, 1]
    feed = edges(graphs, FEEDS)[0, 1]
    assert chosen(feed, "realisation_nbytes", "consumed_nbytes", "realisations") == [132, 132, 2]
    # One iteration of the tile loop touches a tile and its halo of x, as much of the buffer, and 31 of y.
    assert feed["working_set_nbytes"] == (33 + 33 + 31) * 4


@pytest.fixture(scope="module")
def schedules():
    return sampled()


def test_every_value_is_finite(schedules):
    graphs = extract(schedules)
    for values in (*graphs.nodes.values(), *graphs.edge_values.values()):
        assert np.isfinite(values).all()
        assert np.isfinite(compress(values)).all()


def test_the_native_walk_equals_its_plain_twin(schedules):
    mods = [matmul(), scheduled_matmul(), pipeline(), tiled_pipeline(), *schedules]
    assert len(mods) > 20
    assert_same(extract(mods), extract_slowly(mods))


def test_features_do_not_depend_on_the_run():
    assert_same(extract(sampled((0,), 2)), extract(sampled((0,), 2)))


def test_selected_graphs_are_those_extracted_alone():
    mods = [matmul(), tiled_pipeline(), scheduled_matmul(), pipeline()]
    assert_same(extract(mods).select([2, 0, 2]), extract([mods[2], mods[0], mods[2]]))
    assert len(extract(mods).select([])) == 0
    assert extract(mods).graph_of("statement").tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_each_edge_can_be_walked_backwards():
    graphs = extract([matmul()])
    both = {key: ends for key, ends, _ in graphs.both_ways()}
    assert len(both) == 2 * len(names.EDGE_COLUMNS)
    np.testing.assert_array_equal(both["statement", "rev_is_read_by", "buffer"], both[READS][::-1])


def test_no_module_gives_an_empty_batch():
    assert len(extract([])) == 0


def test_compress_is_odd_and_logarithmic():
    np.testing.assert_array_equal(compress(np.array([0.0, 1.0, 7.0, -7.0])), np.float32([0, 1, 3, -3]))

"""Names of the columns of a program's graph, in the order in which the C++ walk writes them.

All values are raw counts, bytes or flags. extract.compress prepares them for the network.
"""

from __future__ import annotations

FEATURE_VERSION = 1

ARITHMETIC = (
    "float_add", "float_mul", "float_div", "float_compare", "float_math", "int_add", "int_mul", "int_div",
    "int_compare", "select", "logic", "cast", "load",
)  # fmt: skip
"""Operations in one execution of a store."""

STATEMENT_INVARIANT = (
    *ARITHMETIC, "item_nbytes", "is_float", "is_reduction", "is_init", "spatial_points", "reduction_points",
    "reads", "read_rank", "write_rank",
)  # fmt: skip
"""Features that no schedule changes, except by inlining."""

CAPACITIES = (2**11, 2**15, 2**18, 2**21, 2**24)
"""Cache sizes in bytes for which traffic is estimated."""

STATEMENT_SCHEDULE = (
    "iterations", "recompute", "predicated", "loops", "innermost_extent", "innermost_serial", "innermost_vectorized",
    "innermost_unrolled", "innermost_reduces", "parallel_extent", "vector_extent", "unrolled_extent",
    "thread_extent", "auto_unroll", "order", "footprint_nbytes", "footprint_lines", "nest1_nbytes", "nest2_nbytes",
    "nest3_nbytes", "nest4_nbytes", "nest1_iterations", "nest2_iterations", "nest3_iterations", "nest4_iterations",
    *(f"traffic_{capacity}" for capacity in CAPACITIES),
    *(f"fitting_iterations_{capacity}" for capacity in CAPACITIES),
)  # fmt: skip
"""Features that depend on the schedule. ``nestK``: the K innermost loops of extent above 1."""

STATEMENT = (*STATEMENT_INVARIANT, *STATEMENT_SCHEDULE)

LOOP = (
    "extent", "serial", "parallel", "vectorized", "unrolled", "thread_bound", "depth", "height", "outer_iterations",
    "inner_iterations", "statements", "child_loops", "reduces", "auto_unroll", "nbytes", "nbytes_an_iteration",
)  # fmt: skip

BUFFER = (
    "nbytes", "declared_nbytes", "item_nbytes", "is_float", "is_input", "is_output", "is_global", "is_stack",
    "is_shared", "rank", "readers", "writers", "read_nbytes", "written_nbytes", "reuse", "realisations",
)  # fmt: skip
"""``nbytes``: size of one realisation of the buffer. ``realisations``: how often it is refilled."""

ACCESS = (
    "nbytes", "unique_nbytes", "unique_lines", "loads", "stride_inner", "stride_second", "invariant", "contiguous",
    "strided", "reuse_count", "reuse_distance_nbytes", "reuse_distance_iterations", "nest1_lines", "nest2_lines",
    "nest3_lines", "split_digits", "irregular", "is_update",
)  # fmt: skip
"""Features of a read or write edge. Strides are in elements; cache lines have 64 bytes."""

CONTAINS = ("position", "height", "reduces", "inner_iterations", "nbytes", "stride_write")
"""Features of an edge from a loop to a statement anywhere inside it."""

FLOW = (
    "nbytes", "realisation_nbytes", "consumed_nbytes", "realisations", "common_loops", "working_set_nbytes",
    "read_nbytes",
    "order_distance", "from_init", "buffer_nbytes",
)  # fmt: skip
"""Features of an edge from a store to a later store that reads what it wrote."""

NODE_COLUMNS = {"statement": STATEMENT, "loop": LOOP, "buffer": BUFFER}
EDGE_COLUMNS = {
    ("statement", "feeds", "statement"): FLOW,
    ("loop", "contains", "statement"): CONTAINS,
    ("loop", "nests", "loop"): (),
    ("buffer", "is_read_by", "statement"): ACCESS,
    ("statement", "writes", "buffer"): ACCESS,
}
"""Edges as (source type, relation, target type). The network also uses each in reverse."""

LINE_NBYTES = 64
STACK_NBYTES = 1024
LOOP_KINDS = ("serial", "parallel", "vectorized", "unrolled", "thread_bound")

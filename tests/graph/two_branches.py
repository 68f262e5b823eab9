"""A small example: a stem, a heavy and a light branch, a join.

Given order 176, best order 168, with the stem run twice 160 = the lower bound (KiB).
"""

from __future__ import annotations

from tvm_memopt.graph import Graph, Op, Tensor

KIB = 1024
SIZES = {"stem": 64, "expand": 96, "reduce": 16, "light": 8, "join": 32}
TWO_BRANCHES = Graph(
    name="two-branches",
    tensors=tuple(Tensor(name, kib * KIB) for name, kib in SIZES.items()),
    ops=(
        Op("stem", (), (0,), cost=2.0),
        Op("expand", (0,), (1,), cost=4.0),
        Op("reduce", (1,), (2,), cost=3.0),
        Op("light", (0,), (3,), cost=1.0),
        Op("join", (2, 3), (4,), cost=1.0),
    ),
    outputs=(4,),
)

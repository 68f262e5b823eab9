"""Integer costs and bytes, in suitable units, for solvers that need integers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from tvm_memopt.graph import Graph

_EXACT_TOTAL = 2**50  # sums of costs stay far below 2^63 even with every op run many times
_ROUNDED_TOTAL = 2**44


@dataclass(frozen=True, slots=True)
class CostScale:
    """Integer costs: op i costs ``ops[i]`` times ``unit``, rounded down if necessary."""

    ops: tuple[int, ...]
    unit: float

    def cost(self, units: float) -> float:
        """Convert units back into the graph's cost."""
        return units * self.unit


def scale_costs(graph: Graph) -> CostScale:
    """Divide costs by their greatest common divisor or, if that is too fine, round them down to 2^-44 of their sum.

    Rounding down keeps every lower bound valid; the error is below the checker's tolerance of 1e-9.
    """
    costs = [Fraction(op.cost) for op in graph.ops]
    total = sum(costs)
    if not total:
        return CostScale((0,) * len(costs), 1.0)
    unit = Fraction(math.gcd(*(c.numerator for c in costs)), math.lcm(*(c.denominator for c in costs)))
    if total / unit > _EXACT_TOTAL:
        unit = total / _ROUNDED_TOTAL
    return CostScale(tuple(int(c / unit) for c in costs), float(unit))


def byte_unit(graph: Graph) -> int:
    """The greatest common divisor of all planned sizes and workspaces. All sums of them are multiples of it."""
    sizes = [t.nbytes for t, planned in zip(graph.tensors, graph.planned, strict=True) if planned]
    return math.gcd(*sizes, *(op.workspace for op in graph.ops)) or 1


def stage_position(order: Sequence[int]) -> list[int]:
    """For each op: its position in ``order``."""
    position = [0] * len(order)
    for place, op in enumerate(order):
        position[op] = place
    return position

"""A scheduled program as flat lists of loops, stores, accesses and buffers: what the walk leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.twins.features.linear_form import Form
from tvm_memopt.cost_model.features.columns import ARITHMETIC


@dataclass
class Loop:
    """``chain``: the loops around it, outermost first, itself last."""

    extent: int
    kind: int
    auto_unroll: int
    chain: tuple[int, ...]


@dataclass
class Buffer:
    """``shape`` as declared; ``compact`` as one realisation needs it, below its ``common`` outermost loops."""

    shape: list[int]
    item_nbytes: int
    is_float: bool
    scope: str
    is_parameter: bool
    compact: list[int] = field(default_factory=list)
    strides: list[int] = field(default_factory=list)
    common: tuple[int, ...] = ()


@dataclass
class Access:
    """All loads, or the store, of one buffer in one statement; ``slack``: how far apart its loads lie, by dimension."""

    buffer: int
    is_write: bool
    forms: list[Form]
    low: list[int]
    high: list[int]
    number: int = 1
    irregular: bool = False

    @property
    def slack(self) -> list[int]:
        """Distance of the outermost loads by dimension."""
        return [high - low for low, high in zip(self.low, self.high, strict=True)]


@dataclass
class Statement:
    """One store. ``reduces``: the loops that its block reduces over; ``is_init`` stores skip those."""

    chain: tuple[int, ...]
    reduces: frozenset[int]
    is_init: bool
    predicated: bool
    spatial_points: float
    reduction_points: float
    auto_unroll: int
    item_nbytes: int = 0
    is_float: bool = False
    arithmetic: list[int] = field(default_factory=lambda: [0] * len(ARITHMETIC))
    accesses: list[Access] = field(default_factory=list)


@dataclass
class Program:
    """The whole module, its stores in program order."""

    loops: list[Loop] = field(default_factory=list)
    buffers: list[Buffer] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)

    def extent(self, statement: Statement, loop: int) -> int:
        """Iterations of a loop that reach the statement."""
        return 1 if statement.is_init and loop in statement.reduces else self.loops[loop].extent

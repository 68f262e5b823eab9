"""The columns of features/columns.py computed from a flat program: the plain twin of native/rows.h."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from tests.twins.features.nests import Nests, common_prefix, compact_buffers, inner_iterations, nests_of, stride
from tests.twins.features.program import Access, Program, Statement
from tvm_memopt.cost_model.features.columns import CAPACITIES, LINE_NBYTES, LOOP_KINDS, STACK_NBYTES

_PARALLEL, _VECTORIZED, _UNROLLED, _BOUND = (LOOP_KINDS.index(k) for k in LOOP_KINDS[1:])
_TILES = 4  # nests with their own columns


@dataclass
class Rows:
    """Feature rows by node and edge type, edge ends by edge type; order of the types as in features/columns.py."""

    statements: list[list[float]]
    loops: list[list[float]]
    buffers: list[list[float]]
    feeds: list[tuple[int, int, list[float]]]
    contains: list[tuple[int, int, list[float]]]
    nests: list[tuple[int, int, list[float]]]
    reads: list[tuple[int, int, list[float]]]
    writes: list[tuple[int, int, list[float]]]


@dataclass
class _View:
    """A statement with what is needed of it again and again; ``bytes`` by nest and buffer, each buffer once."""

    number: int
    statement: Statement
    iterations: list[float]
    nests: list[Nests]
    nbytes: list[dict[int, float]]
    lines: list[float]
    moving: list[int]

    def totals(self, k: int) -> float:
        return sum(self.nbytes[k].values())


def rows_of(program: Program) -> Rows:
    """All rows of a program."""
    compact_buffers(program)
    views = [_view(program, number, statement) for number, statement in enumerate(program.statements)]
    whole, once = _loop_footprints(program, views)
    rows = Rows([], [], [], [], [], [], [], [])
    rows.statements = [_statement_row(program, view) for view in views]
    rows.loops = [_loop_row(program, views, loop, whole, once) for loop in range(len(program.loops))]
    rows.buffers = [_buffer_row(program, views, buffer) for buffer in range(len(program.buffers))]
    for loop in program.loops:
        if len(loop.chain) > 1:
            rows.nests.append((loop.chain[-2], loop.chain[-1], []))
    for view in views:
        _contains_edges(program, view, rows)
        for access, nests in zip(view.statement.accesses, view.nests, strict=True):
            row = _access_row(program, view, access, nests)
            if access.is_write:
                rows.writes.append((view.number, access.buffer, row))
            else:
                rows.reads.append((access.buffer, view.number, row))
    _feed_edges(program, views, once, rows)
    return rows


def _view(program: Program, number: int, statement: Statement) -> _View:
    nests = [nests_of(program, statement, access) for access in statement.accesses]
    depth = len(statement.chain)
    nbytes: list[dict[int, float]] = []
    lines = []
    for k in range(depth + 1):
        by_buffer: dict[int, float] = {}
        by_lines: dict[int, float] = {}
        for access, nest in zip(statement.accesses, nests, strict=True):
            size = nest.elements[k] * program.buffers[access.buffer].item_nbytes
            by_buffer[access.buffer] = max(by_buffer.get(access.buffer, 0.0), size)
            by_lines[access.buffer] = max(by_lines.get(access.buffer, 0.0), nest.lines[k])
        nbytes.append(by_buffer)
        lines.append(sum(by_lines.values()))
    moving = [k for k, loop in enumerate(reversed(statement.chain), 1) if program.extent(statement, loop) > 1]
    return _View(number, statement, inner_iterations(program, statement), nests, nbytes, lines, moving)


def _statement_row(program: Program, view: _View) -> list[float]:
    return [*map(float, _invariant_columns(program, view)), *map(float, _schedule_columns(program, view))]


def _invariant_columns(program: Program, view: _View) -> list[float]:
    statement = view.statement
    reads = [access for access in statement.accesses if not access.is_write]
    ranks = [[len(program.buffers[a.buffer].shape) for a in statement.accesses if a.is_write == w] for w in (0, 1)]
    return [
        *statement.arithmetic, statement.item_nbytes, statement.is_float, bool(statement.reduction_points > 1),
        statement.is_init or not reads, statement.spatial_points, statement.reduction_points, len(reads),
        max(ranks[0], default=0), max(ranks[1], default=0),
    ]  # fmt: skip


def _schedule_columns(program: Program, view: _View) -> list[float]:
    statement, moving = view.statement, view.moving
    innermost = statement.chain[-moving[0]] if moving else None
    kind = program.loops[innermost].kind if innermost is not None else 0
    tiles = [moving[k] if k < len(moving) else len(statement.chain) for k in range(_TILES)]
    points = statement.spatial_points * statement.reduction_points
    return [
        view.iterations[-1], view.iterations[-1] / points, statement.predicated, len(moving),
        program.extent(statement, innermost) if innermost is not None else 1, kind == 0, kind == _VECTORIZED,
        kind == _UNROLLED, innermost in statement.reduces, *(_extents(program, statement, k) for k in
        (_PARALLEL, _VECTORIZED, _UNROLLED, _BOUND)), statement.auto_unroll, view.number, view.totals(-1),
        view.lines[-1], *(view.totals(k) for k in tiles), *(view.iterations[k] for k in tiles),
        *_traffic_columns(view),
    ]  # fmt: skip


def _extents(program: Program, statement: Statement, kind: int) -> float:
    return float(prod(program.extent(statement, p) for p in statement.chain if program.loops[p].kind == kind))


def _traffic_columns(view: _View) -> list[float]:
    """Bytes of the lines fetched when each largest nest that fits a cache starts with it empty."""
    traffic, fitting = [], []
    for capacity in CAPACITIES:
        k = 0
        while k + 1 < len(view.lines) and view.lines[k + 1] * LINE_NBYTES <= capacity:
            k += 1
        traffic.append(view.lines[k] * LINE_NBYTES * (view.iterations[-1] / view.iterations[k]))
        fitting.append(view.iterations[k])
    return [*traffic, *fitting]


def _access_row(program: Program, view: _View, access: Access, nests: Nests) -> list[float]:
    item, depth = program.buffers[access.buffer].item_nbytes, len(view.statement.chain)
    strides = [abs(stride(program, access, view.statement.chain[-k])) for k in view.moving[:2]] + [0, 0]
    reuse = next((k for k in view.moving if not nests.varies[k - 1]), None)
    tiles = [view.moving[k] if k < len(view.moving) else depth for k in range(3)]
    moving = bool(view.moving)
    is_update = any(a.buffer == access.buffer and a.is_write != access.is_write for a in view.statement.accesses)
    split = 0
    for form in access.forms:
        split += sum(t.divisor > 1 or t.values < program.loops[t.loop].extent for t in form.terms)
    row = [
        view.iterations[-1] * access.number * item, nests.elements[-1] * item, nests.lines[-1], access.number,
        strides[0], strides[1], moving and not nests.varies[view.moving[0] - 1], strides[0] == 1, strides[0] > 1,
        1.0 if reuse is None else view.iterations[reuse] / view.iterations[reuse - 1],
        0.0 if reuse is None else view.totals(reuse - 1), 0.0 if reuse is None else view.iterations[reuse - 1],
        *(nests.lines[k] for k in tiles), split, access.irregular, is_update,
    ]  # fmt: skip
    return list(map(float, row))


def _loop_footprints(program: Program, views: list[_View]) -> tuple[list[float], list[float]]:
    """Bytes touched by each loop, and by one iteration of it; the last entry of the second is the whole program."""
    whole: list[dict[int, float]] = [{} for _ in program.loops]
    once: list[dict[int, float]] = [{} for _ in range(len(program.loops) + 1)]
    for view in views:
        depth = len(view.statement.chain)
        for position, loop in enumerate(view.statement.chain):
            _raise_to(whole[loop], view.nbytes[depth - position])
            _raise_to(once[loop], view.nbytes[depth - position - 1])
        _raise_to(once[-1], view.nbytes[depth])
    return [sum(sizes.values()) for sizes in whole], [sum(sizes.values()) for sizes in once]


def _raise_to(sizes: dict[int, float], other: dict[int, float]) -> None:
    for buffer, size in other.items():
        sizes[buffer] = max(sizes.get(buffer, 0.0), size)


def _loop_row(program: Program, views: list[_View], number: int, whole: list[float], once: list[float]) -> list[float]:
    loop = program.loops[number]
    inside = [view for view in views if number in view.statement.chain]
    height, inner = 0, 1.0
    for view in inside:
        below = len(view.statement.chain) - len(loop.chain)
        height, inner = max(height, below), max(inner, view.iterations[below])
    outer = prod(float(program.loops[p].extent) for p in loop.chain[:-1])
    children = sum(len(other.chain) > 1 and other.chain[-2] == number for other in program.loops)
    reduces = sum(number in view.statement.reduces for view in inside)
    kinds = [float(loop.kind == kind) for kind in range(len(LOOP_KINDS))]
    row = [
        loop.extent, *kinds, len(loop.chain) - 1, height, outer, inner, len(inside), children, reduces,
        loop.auto_unroll, whole[number], once[number],
    ]  # fmt: skip
    return list(map(float, row))


def _buffer_row(program: Program, views: list[_View], number: int) -> list[float]:
    buffer = program.buffers[number]
    read = written = 0.0
    readers = writers = 0
    for view in views:
        for access in view.statement.accesses:
            if access.buffer == number:
                moved = view.iterations[-1] * access.number * buffer.item_nbytes
                read, written = (read, written + moved) if access.is_write else (read + moved, written)
                readers, writers = readers + (not access.is_write), writers + access.is_write
    nbytes = prod(map(float, buffer.compact)) * buffer.item_nbytes
    realisations = prod(float(program.loops[p].extent) for p in buffer.common)
    is_global = buffer.scope in ("", "global")
    row = [
        nbytes, prod(map(float, buffer.shape)) * buffer.item_nbytes, buffer.item_nbytes, buffer.is_float,
        buffer.is_parameter and not writers, buffer.is_parameter and writers > 0, is_global,
        is_global and not buffer.is_parameter and nbytes < STACK_NBYTES, buffer.scope.startswith("shared"),
        len(buffer.shape), readers, writers, read, written, read / (nbytes * realisations), realisations,
    ]  # fmt: skip
    return list(map(float, row))


def _contains_edges(program: Program, view: _View, rows: Rows) -> None:
    statement, depth = view.statement, len(view.statement.chain)
    store = next(access for access in statement.accesses if access.is_write)
    for position, loop in enumerate(statement.chain):
        inner = depth - position
        row = [
            position, inner - 1, loop in statement.reduces, view.iterations[inner - 1], view.totals(inner),
            abs(stride(program, store, loop)),
        ]  # fmt: skip
        rows.contains.append((loop, view.number, list(map(float, row))))


def _feed_edges(program: Program, views: list[_View], once: list[float], rows: Rows) -> None:
    for consumer in views:
        for access, nests in zip(consumer.statement.accesses, consumer.nests, strict=True):
            if access.is_write:
                continue
            for producer in views[: consumer.number]:
                wrote = any(a.is_write and a.buffer == access.buffer for a in producer.statement.accesses)
                if wrote:
                    row = _feed_row(program, producer, consumer, access, nests, once)
                    rows.feeds.append((producer.number, consumer.number, row))


def _feed_row(
    program: Program, producer: _View, consumer: _View, access: Access, nests: Nests, once: list[float]
) -> list[float]:
    buffer = program.buffers[access.buffer]
    common = common_prefix([producer.statement.chain, consumer.statement.chain])
    realisations = prod(float(program.loops[p].extent) for p in common)
    below = len(consumer.statement.chain) - len(common)
    realised = producer.nbytes[len(producer.statement.chain) - len(common)][access.buffer]
    row = [
        realised * realisations, realised, nests.elements[below] * buffer.item_nbytes, realisations, len(common),
        once[common[-1] if common else -1],
        consumer.iterations[-1] * access.number * buffer.item_nbytes, consumer.number - producer.number,
        producer.statement.is_init or len(producer.statement.accesses) == 1,
        prod(map(float, buffer.compact)) * buffer.item_nbytes,
    ]  # fmt: skip
    return list(map(float, row))

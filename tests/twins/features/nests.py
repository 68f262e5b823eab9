"""Footprints of one access as loops are added from the inside out: the plain twin of native/nests.h.

``nest k`` is the k innermost loops around the statement, k from 0 to all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from tests.twins.features.linear_form import Term
from tests.twins.features.program import Access, Buffer, Program, Statement
from tvm_memopt.cost_model.features.columns import LINE_NBYTES


@dataclass
class Nests:
    """By k: distinct elements touched, distinct cache lines; by loop of the nest: whether the access varies with it."""

    elements: list[float]
    lines: list[float]
    varies: list[bool]


def inner_iterations(program: Program, statement: Statement) -> list[float]:
    """By k: iterations of the k innermost loops."""
    iterations = [1.0]
    for loop in reversed(statement.chain):
        iterations.append(iterations[-1] * program.extent(statement, loop))
    return iterations


def nests_of(program: Program, statement: Statement, access: Access) -> Nests:
    """Distinct elements and lines by nest; an irregular access touches a new line in each iteration."""
    buffer, loops = program.buffers[access.buffer], statement.chain[::-1]
    spans = [slack + 1.0 for slack in access.slack]
    points = [1.0] * len(spans)
    iterations = inner_iterations(program, statement)
    nests = Nests([], [], [])
    for k in range(len(loops) + 1):
        if k > 0:
            nests.varies.append(_grow(access, loops[k - 1], spans, points))
        if access.irregular:
            nests.elements.append(min(iterations[k] * access.number, float(prod(buffer.compact))))
            nests.lines.append(nests.elements[-1])
            continue
        elements, lines = _distinct(buffer, access, spans, points)
        limit = iterations[k] * access.number
        nests.elements.append(min(elements, limit))
        nests.lines.append(min(lines, limit))
    return nests


def _grow(access: Access, loop: int, spans: list[float], points: list[float]) -> bool:
    """Adds the digits of one loop; whether there are any."""
    varies = False
    for d, form in enumerate(access.forms):
        for term in form.terms:
            if term.loop == loop:
                spans[d] += abs(term.coefficient) * (term.values - 1.0)
                points[d] *= term.values
                varies = True
    return varies or access.irregular


def _distinct(buffer: Buffer, access: Access, spans: list[float], points: list[float]) -> tuple[float, float]:
    slack = access.slack
    extents = [min(span, float(limit)) for span, limit in zip(spans, buffer.compact, strict=True)]
    distinct = [min(extents[d], points[d] * (1 + min(slack[d], access.number - 1))) for d in range(len(spans))]
    run, dense, d = 1.0, 1.0, len(spans) - 1
    while d >= 0:
        run, dense = run * extents[d], dense * distinct[d]
        if extents[d] < buffer.compact[d]:
            break
        d -= 1
    outer = 1.0
    for i in range(d):
        outer *= distinct[i]
    in_run = -(-run * buffer.item_nbytes // LINE_NBYTES)
    return outer * dense, outer * min(dense, in_run)


def stride(program: Program, access: Access, loop: int) -> int:
    """Elements that the access moves when the loop's variable grows from 0 to 1."""
    strides = program.buffers[access.buffer].strides
    return sum(
        term.coefficient * strides[d]
        for d, form in enumerate(access.forms)
        for term in form.terms
        if _moves(term, loop)
    )


def _moves(term: Term, loop: int) -> bool:
    return term.loop == loop and term.divisor == 1


def compact_buffers(program: Program) -> None:
    """Shape of one realisation of each buffer: what is touched below the loops common to all its accesses."""
    touched: list[list[tuple[Statement, Access]]] = [[] for _ in program.buffers]
    for statement in program.statements:
        for access in statement.accesses:
            touched[access.buffer].append((statement, access))
    for buffer, uses in zip(program.buffers, touched, strict=True):
        if buffer.is_parameter or not uses:
            buffer.compact = list(buffer.shape)
        else:
            buffer.common = common_prefix([statement.chain for statement, _ in uses])
            buffer.compact = _compact_shape(buffer, uses)
        buffer.strides = [prod(buffer.compact[d + 1 :]) for d in range(len(buffer.compact))]


def common_prefix(chains: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The outermost loops that all chains share."""
    shared = chains[0]
    for chain in chains[1:]:
        length = 0
        while length < min(len(shared), len(chain)) and shared[length] == chain[length]:
            length += 1
        shared = shared[:length]
    return shared


def _compact_shape(buffer: Buffer, uses: list[tuple[Statement, Access]]) -> list[int]:
    if any(access.irregular for _, access in uses):
        return list(buffer.shape)
    shape = []
    for d, declared in enumerate(buffer.shape):
        lows, highs = [], []
        for _, access in uses:
            low, high = access.low[d], access.high[d]
            for term in access.forms[d].terms:
                if term.loop not in buffer.common:
                    reach = term.coefficient * (term.values - 1)
                    low, high = low + min(reach, 0), high + max(reach, 0)
            lows.append(low)
            highs.append(high)
        shape.append(max(1, min(declared, max(highs) - min(lows) + 1)))
    return shape

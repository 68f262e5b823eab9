"""Facts about the kernel of each fused function: scratch buffers, the statements that touch each buffer, costs.

Fused functions are lowered as relay.build lowers them later. A kernel is a sequence of top-level statements, the loop
nests. TVM's static memory planner (USMP) gives each buffer the statements from its first to its last access, so a
buffer whose last read comes before the first write of another may share memory with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import tvm
from tvm import tir
from tvm.relay.backend import te_compiler

from tvm_memopt.passes.relay.overwrites import overwritten
from tvm_memopt.passes.relay.program import identity
from tvm_memopt.targets.profile import Rates

NEVER = (0, -1)
"""The span of a parameter that the kernel does not touch, such as a field of a tuple that only others read."""


@dataclass(frozen=True)
class Scratch:
    """A buffer inside a kernel. ``counted_nbytes``: its size as TVM's static memory planner counts it.

    TVM 0.16 ignores vector lanes there. ``first``, ``last``: statements of the first and last access.
    """

    name: str
    nbytes: int
    counted_nbytes: int
    first: int
    last: int


@dataclass(frozen=True)
class KernelFacts:
    """Accesses and work of one kernel.

    ``spans``: for each parameter, inputs first, the statements of its first and last access, NEVER if it has none.
    ``scratch``: its buffers in the order of allocation. ``statements``: their number. ``overwrites``: pairs of buffers,
    parameters first and then scratch, of which the second may take the address of the first: the statement of the
    first's last access reads each element before it writes that of the second.
    """

    spans: tuple[tuple[int, int], ...]
    scratch: tuple[Scratch, ...]
    statements: int
    flops: float
    nbytes: int
    func: Any = None
    overwrites: tuple[tuple[int, int], ...] = ()

    def workspace_nbytes(self, inputs: Sequence[int], outputs: Sequence[int], stay: Sequence[bool]) -> int:
        """Bytes that one call needs beside its tensors, for a graph whose ops hold all their tensors at once.

        ``inputs``, ``outputs``: bytes of the tensors in the arena, 0 for others. ``stay``: for each input, whether
        something else reads it. The exact peaks over the statements are taken where those inputs stay alive and where
        all die; the larger need of both counts.
        """
        alive = {position for position, stays in enumerate(stay) if stays}
        return max(0, self._need(inputs, outputs, set()), self._need(inputs, outputs, alive) if alive else 0)

    def _need(self, inputs: Sequence[int], outputs: Sequence[int], alive: set[int]) -> int:
        """The same where the inputs ``alive`` outlive the call."""
        sizes = [*inputs, *outputs, *(s.nbytes for s in self.scratch)]
        spans = [(0, last) if i < len(inputs) else (first, last) for i, (first, last) in enumerate(self.spans)]
        spans = [(0, self.statements - 1) if i in alive else span for i, span in enumerate(spans)]
        pairs = [(i, o + len(inputs)) for i, o in self.inplace_pairs(len(inputs)) if i not in alive]
        shared, taken = 0, set[int]()
        for source, target in sorted(pairs, key=lambda pair: -min(sizes[pair[0]], sizes[pair[1]])):
            if not {source, ~target} & taken:
                taken |= {source, ~target}
                shared += min(sizes[source], sizes[target])
        used = set[int]()
        for source, target in self.overwrites:  # one of the two suffices in the statement that both share
            fits = source < len(inputs) and source not in alive and sizes[target] >= sizes[source]
            if fits and not {source, ~target} & used:
                used |= {source, ~target}
                spans[source] = (0, spans[source][1] - 1)
        return self._peak(sizes, spans) - (sum(sizes[: len(self.spans)]) - shared)

    def _peak(self, sizes: Sequence[int], spans: Sequence[tuple[int, int]]) -> int:
        """The most bytes that one statement needs, scratch padded to 64 bytes. ``spans``: of the parameters."""
        change = [0] * (self.statements + 1)
        every = [*spans, *((s.first, s.last) for s in self.scratch)]
        for position, (nbytes, (first, last)) in enumerate(zip(sizes, every, strict=True)):
            if first <= last:
                held = nbytes if position < len(spans) else -(-nbytes // 64) * 64
                change[first] += held
                change[last + 1] -= held
        return max(accumulate(change))

    def inplace_pairs(self, inputs: int) -> list[tuple[int, int]]:
        """(input, output) positions where the output may take the input's address.

        The last access of the input precedes the first access of the output, or the kernel overwrites it in step.
        """
        outputs = range(inputs, len(self.spans))
        return [
            (i, o - inputs)
            for i in range(inputs)
            for o in outputs
            if self.spans[i] != NEVER and (self.spans[i][1] < self.spans[o][0] or (i, o) in self.overwrites)
        ]

    def seconds(self, rates: Rates) -> float:
        """The roofline estimate of one call on a device with these rates."""
        return rates.seconds(self.flops, self.nbytes)


class KernelReader:
    """Lower fused functions for a target and read their facts. ``overwrites``: see read_kernel."""

    def __init__(self, target: Any, *, overwrites: bool = False) -> None:
        self.target, self.overwrites = target, overwrites
        self.lanes_in_extents = lanes_in_extents()
        te_compiler.get().clear()  # it may hold kernels that were lowered with another configuration
        self._facts: dict[int, KernelFacts] = {}

    def facts_of(self, function: Any) -> KernelFacts:
        """Facts of a primitive function's kernel."""
        key = identity(function)
        if key not in self._facts:
            self._facts[key] = self._read(function)
        return self._facts[key]

    def _read(self, function: Any) -> KernelFacts:
        lowered = te_compiler.get().lower(function, self.target)
        funcs = [f for f in lowered.funcs.functions.values() if isinstance(f, tir.PrimFunc)]
        if len(funcs) != 1:  # a fused function of no operator at all
            count = len(function.params) + 1
            return KernelFacts(((0, 0),) * count, (), 1, 0.0, 0)
        return read_kernel(funcs[0], lanes_in_extents=self.lanes_in_extents, overwrites=self.overwrites)


def fresh_context(added: Mapping[str, Any] | None = None) -> Any:
    """The current pass context without its instruments. ``added``: further configuration."""
    current = tvm.transform.PassContext.current()
    return tvm.transform.PassContext(
        opt_level=current.opt_level,
        required_pass=list(current.required_pass),
        disabled_pass=list(current.disabled_pass),
        config={**dict(current.config.items()), **(added or {})},
    )


LANES_PASS = "memopt.ScalarExtents"


def lanes_in_extents() -> bool:
    """Whether the current context runs the pass that writes vector lanes into the extents of allocations."""
    added = dict(tvm.transform.PassContext.current().config.items()).get("tir.add_lower_pass", ())
    return any(entry[1].info.name == LANES_PASS for entry in added)


def read_kernel(func: Any, *, lanes_in_extents: bool = False, overwrites: bool = False) -> KernelFacts:
    """Facts of a lowered PrimFunc. O(nodes).

    ``lanes_in_extents``: whether the extents of allocations count scalars, not vectors. ``overwrites``: look for
    buffers that may be overwritten element by element.
    """
    reader = _StatementReader(lanes_in_extents)
    reader.visit(func.body)
    buffers = [func.buffer_map[p] for p in func.params if p in func.buffer_map]
    spans = tuple(reader.spans.get(identity(b.data), NEVER) for b in buffers)
    scratch = tuple(
        Scratch(name, nbytes, counted, *reader.spans[key])
        for key, (name, nbytes, counted) in reader.allocated.items()
        if key in reader.spans
    )
    nbytes = sum(_buffer_nbytes(b) for b in buffers)
    variables = [b.data for b in buffers] + [reader.variables[key] for key in reader.allocated if key in reader.spans]
    every = [*spans, *((s.first, s.last) for s in scratch)]
    pairs = _overwrites(reader.units, variables, every, len(buffers)) if overwrites else ()
    return KernelFacts(spans, scratch, max(reader.count, 1), _flops(func), nbytes, func, pairs)


def _overwrites(
    units: Sequence[Any], variables: Sequence[Any], spans: Sequence[tuple[int, int]], parameters: int
) -> tuple[tuple[int, int], ...]:
    """Pairs of buffers whose statements of last and first access are one, which goes element by element."""
    found = []
    for statement, unit in enumerate(units):
        sources = [i for i, (first, last) in enumerate(spans) if last == statement and (i < parameters or first < last)]
        targets = [i for i, (first, _) in enumerate(spans) if first == statement]
        if sources and targets:
            pairs = overwritten(unit, [variables[i] for i in sources], [variables[i] for i in targets])
            found += [(sources[s], targets[t]) for s, t in pairs if sources[s] != targets[t]]
    return tuple(found)


class _StatementReader:
    """Number the top-level statements of a kernel and record the first and last access of each buffer."""

    def __init__(self, lanes_in_extents: bool) -> None:
        self.lanes_in_extents = lanes_in_extents
        self.count = 0
        self.spans: dict[int, tuple[int, int]] = {}
        self.allocated: dict[int, tuple[str, int, int]] = {}
        self.variables: dict[int, Any] = {}
        self.units: list[Any] = []

    def visit(self, statement: Any) -> None:
        while True:
            if isinstance(statement, tir.Allocate):
                self._allocate(statement)
                statement = statement.body
            elif isinstance(statement, (tir.AttrStmt, tir.LetStmt, tir.AssertStmt, tir.AllocateConst, tir.DeclBuffer)):
                if isinstance(statement, tir.LetStmt):
                    self._access(statement.value)
                statement = statement.body
            elif isinstance(statement, tir.SeqStmt):
                for child in list(statement.seq)[:-1]:
                    self.visit(child)
                statement = statement.seq[-1]
            else:
                self._access(statement)
                self.units.append(statement)
                self.count += 1
                return

    def _allocate(self, node: Any) -> None:
        if any(not isinstance(extent, tir.IntImm) for extent in node.extents):
            return
        dtype = tvm.DataType(str(node.dtype))
        count = math.prod(int(extent) for extent in node.extents)
        counted = count * ((dtype.bits + 7) // 8)
        nbytes = counted if self.lanes_in_extents else counted * dtype.lanes
        self.variables[identity(node.buffer_var)] = node.buffer_var
        self.allocated[identity(node.buffer_var)] = (node.buffer_var.name, nbytes, counted)

    def _access(self, node: Any) -> None:
        step = self.count

        def touch(variable: Any) -> None:
            key = identity(variable)
            first = self.spans.get(key, (step, step))[0]
            self.spans[key] = (first, step)

        def visit(part: Any) -> None:
            if isinstance(part, (tir.BufferLoad, tir.BufferStore)):
                touch(part.buffer.data)
            elif isinstance(part, tir.Allocate):
                self._allocate(part)
            elif isinstance(part, tir.Var) and isinstance(part.type_annotation, tvm.ir.PointerType):
                touch(part)

        tir.stmt_functor.post_order_visit(node, visit)


def _buffer_nbytes(buffer: Any) -> int:
    dtype = tvm.DataType(str(buffer.dtype))
    extents = [int(e) if isinstance(e, tir.IntImm) else 1 for e in buffer.shape]
    return int(math.prod(extents) * ((dtype.bits * dtype.lanes + 7) // 8))


def _flops(func: Any) -> float:
    try:
        return float(tir.analysis.estimate_tir_flops(tvm.IRModule({"main": func})))
    except (tvm.TVMError, ValueError, TypeError):
        return 0.0  # TVM's estimator does not know a construct of the kernel: only its bytes count


def measured_seconds(facts: KernelFacts, target: Any, repeats: int = 5) -> float:
    """Least seconds of several calls of the kernel on this machine, with zeros as arguments."""
    import numpy as np

    func = facts.func.with_attr("global_symbol", "main")
    module = tvm.build(tvm.IRModule({"main": func}), target=target)
    buffers = [func.buffer_map[p] for p in func.params if p in func.buffer_map]
    arrays = [tvm.nd.array(np.zeros([int(e) for e in b.shape], str(b.dtype))) for b in buffers]
    timer = module.time_evaluator("main", tvm.cpu(), number=1, repeat=repeats)
    return float(min(timer(*arrays).results))


__all__ = ["KernelFacts", "KernelReader", "Scratch", "fresh_context", "measured_seconds", "read_kernel"]

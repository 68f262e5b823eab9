"""An interpreter that runs the loops of a flat kernel and records every address that is read or written.

It shares no code with the analysis: the kernel becomes a Python function, which is called. Values are not computed,
so indices that depend on data are not followed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tvm
from tvm import tirx
from tvm.ir import Var
from tvm.ir.expr import TensorLoad

_OPERATORS: dict[Any, str] = {
    tirx.Add: "+",
    tirx.Sub: "-",
    tirx.Mul: "*",
    tirx.FloorDiv: "//",
    tirx.FloorMod: "%",
    tirx.LT: "<",
    tirx.LE: "<=",
    tirx.GT: ">",
    tirx.GE: ">=",
    tirx.EQ: "==",
    tirx.NE: "!=",
    tirx.And: "and",
    tirx.Or: "or",
}


@dataclass
class Trace:
    """Byte addresses in the order of execution: ``reads`` and ``writes`` hold (time, first byte, number of bytes)."""

    reads: list[tuple[int, int, int]] = field(default_factory=list)
    writes: list[tuple[int, int, int]] = field(default_factory=list)
    time: int = 0


def trace(func: tirx.PrimFunc, source: int, target: int) -> Trace:
    """Run ``func``; record the reads of parameter ``source`` and the writes of parameter ``target``."""
    writer = _Writer(func)
    writer.statement(func.body, 1)
    found = Trace()
    buffers = {writer.name(func.params[source]): "source", writer.name(func.params[target]): "target"}

    def spans(index: Any, nbytes: int) -> list[tuple[int, int, int]]:
        return [(found.time, int(i) * nbytes, nbytes) for i in np.atleast_1d(index)]

    def read(name: str, index: Any, nbytes: int) -> int:
        found.time += 1
        if buffers.get(name) == "source":
            found.reads += spans(index, nbytes)
        return 0

    def write(name: str, index: Any, nbytes: int, _value: Any) -> None:
        found.time += 1
        if buffers.get(name) == "target":
            found.writes += spans(index, nbytes)

    scope = {
        "read": read,
        "write": write,
        "ramp": lambda base, stride, lanes: np.arange(lanes) * stride + base,
        "minimum": np.minimum,
        "maximum": np.maximum,
        "anything": lambda *_: 0,
    }
    exec("\n".join(["def run():", *writer.lines, " pass"]), scope)  # the source is made here, from a test's kernel
    scope["run"]()
    return found


def least_distance(found: Trace, room: int, taken: int) -> int:
    """The least distance from which on no byte is read after it was overwritten.

    ``room``, ``taken``: bytes of the input and of the output, beyond which the two are disjoint.
    """
    events = sorted([(t, 1, a, n) for t, a, n in found.writes] + [(t, 0, a, n) for t, a, n in found.reads])
    highest, worst = None, None
    for _, is_write, address, nbytes in events:
        if is_write:
            highest = max(address + nbytes - 1, address if highest is None else highest)
        elif highest is not None:
            worst = max(highest - address, highest - address if worst is None else worst)
    return -room if worst is None else min(max(worst + 1, -room), taken)


def overwritten_too_early(found: Trace, distance: int) -> bool:
    """Whether some byte is read after it was overwritten, with the input ``distance`` bytes above the output."""
    written: set[int] = set()
    events = sorted([(t, 1, a, n) for t, a, n in found.writes] + [(t, 0, a, n) for t, a, n in found.reads])
    for _, is_write, address, nbytes in events:
        if is_write:
            written.update(range(address, address + nbytes))
        elif not written.isdisjoint(range(address + distance, address + distance + nbytes)):
            return True
    return False


class _Writer:
    """Writes a kernel as Python source."""

    def __init__(self, func: tirx.PrimFunc) -> None:
        self.lines: list[str] = []
        self.names: dict[Var, str] = {}
        self.roots: dict[Var, Var] = {}
        for parameter in func.params:
            self.name(parameter)

    def name(self, variable: Var) -> str:
        root = self.roots.get(variable, variable)
        return self.names.setdefault(root, f"v{len(self.names)}")

    def put(self, depth: int, text: str) -> None:
        self.lines.append(" " * depth + text)

    def statement(self, node: Any, depth: int) -> None:
        if isinstance(node, tirx.SeqStmt):
            for child in node.seq:
                self.statement(child, depth)
        elif isinstance(node, tirx.For):
            first = self.expression(node.min)
            self.put(
                depth, f"for {self.name(node.loop_var)} in range({first}, {first} + {self.expression(node.extent)}):"
            )
            self.statement(node.body, depth + 1)
        elif isinstance(node, tirx.IfThenElse):
            self.put(depth, f"if {self.expression(node.condition)}:")
            self.statement(node.then_case, depth + 1)
            if node.else_case is not None:
                self.put(depth, "else:")
                self.statement(node.else_case, depth + 1)
        elif isinstance(node, tirx.AttrStmt):
            self.statement(node.body, depth)
        elif isinstance(node, tirx.BufferStore):
            value, index = self.expression(node.value), self.expression(node.indices[0])
            self.put(depth, f"value = {value}")
            self.put(depth, f"write({self.name(node.buffer)!r}, {index}, {_nbytes(node.buffer)}, value)")
        elif isinstance(node, tirx.Bind):
            self.put(depth, f"{self.name(node.var)} = {self.expression(node.value)}")
        elif isinstance(node, tirx.Evaluate):
            self.put(depth, self.expression(node.value))
        elif isinstance(node, tirx.DeclBuffer):
            self.roots[node.buffer] = self.roots.get(node.data.args[0], node.data.args[0])
        elif not isinstance(node, tirx.AllocBuffer):
            raise NotImplementedError(type(node))
        self.put(depth, "pass")

    def expression(self, node: Any) -> str:  # noqa: PLR0911 (one return for each kind of node)
        for kind, operator in _OPERATORS.items():
            if isinstance(node, kind):
                return f"({self.expression(node.a)} {operator} {self.expression(node.b)})"
        if isinstance(node, tirx.IntImm | tirx.FloatImm):
            return str(int(node.value)) if isinstance(node, tirx.IntImm) else "0.5"
        if isinstance(node, TensorLoad):
            index = self.expression(node.indices[0])
            return f"read({self.name(node.source)!r}, {index}, {_nbytes(node.source)})"
        if isinstance(node, Var):
            return self.name(node)
        if isinstance(node, tirx.Min | tirx.Max):
            name = "minimum" if isinstance(node, tirx.Min) else "maximum"
            return f"{name}({self.expression(node.a)}, {self.expression(node.b)})"
        if isinstance(node, tirx.Cast | tirx.Broadcast):
            return self.expression(node.value)
        if isinstance(node, tirx.Not):
            return f"(not {self.expression(node.a)})"
        if isinstance(node, tirx.Div):
            return f"anything({self.expression(node.a)}, {self.expression(node.b)})"
        if isinstance(node, tirx.Ramp):
            return f"ramp({self.expression(node.base)}, {self.expression(node.stride)}, {int(node.lanes)})"
        if isinstance(node, tirx.Select):
            parts = (self.expression(p) for p in (node.true_value, node.false_value))
            return f"anything({self.expression(node.condition)}, {', '.join(parts)})"
        if isinstance(node, tvm.ir.Call):
            return self.call(node)
        raise NotImplementedError(type(node))

    def call(self, node: tvm.ir.Call) -> str:
        name = node.op.name
        arguments = [self.expression(a) for a in node.args if not isinstance(a, tvm.ir.StringImm)]
        if name.endswith("if_then_else"):
            return f"({arguments[1]} if {arguments[0]} else {arguments[2]})"
        return arguments[0] if name.endswith("likely") else f"anything({', '.join(arguments)})"


def _nbytes(buffer: Var) -> int:
    return (tvm.DataType(str(buffer.dtype)).bits + 7) // 8

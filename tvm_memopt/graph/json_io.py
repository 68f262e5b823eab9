"""Reading and writing of ``memopt-graph/1`` and ``memopt-plan/1``. Errors name the file and the key."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal, NoReturn, TypeGuard, TypeVar, overload

from tvm_memopt.atomic import write_text_atomic
from tvm_memopt.errors import GraphError, MemoptError, PlanError
from tvm_memopt.graph.model import TENSOR_KINDS, Graph, Inplace, Op, Tensor
from tvm_memopt.graph.plan import PLAN_STATUSES, Allocation, Plan

GRAPH_FORMAT = "memopt-graph/1"
PLAN_FORMAT = "memopt-plan/1"
_T = TypeVar("_T")
_REQUIRED: object = object()


class _Record:
    """A JSON object and its position in the file. Offers typed access; errors name the key."""

    def __init__(self, value: object, where: str, error: Callable[[str], MemoptError]) -> None:
        self.where, self.error = where, error
        if not isinstance(value, Mapping):
            raise error(f"{where or 'the file'}: expected a JSON object, found {_kind(value)}")
        self.value = value

    def path(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def fail(self, key: str, expected: str, found: object) -> NoReturn:
        raise self.error(f"key {self.path(key)!r}: expected {expected}, found {_kind(found)}")

    def get(self, key: str, default: object = _REQUIRED) -> object:
        if key in self.value:
            return self.value[key]
        if default is _REQUIRED:
            raise self.error(f"missing required key {self.path(key)!r}")
        return default

    def string(self, key: str) -> str:
        value = self.get(key)
        return value if isinstance(value, str) else self.fail(key, "a string", value)

    @overload
    def integer(self, key: str, default: int = ...) -> int: ...
    @overload
    def integer(self, key: str, default: int | None = ..., *, nullable: Literal[True]) -> int | None: ...
    def integer(self, key: str, default: object = _REQUIRED, *, nullable: bool = False) -> int | None:
        value = self.get(key, default)
        if value is None and nullable:
            return None
        return value if _is_int(value) else self.fail(key, "an integer" + " or null" * nullable, value)

    @overload
    def number(self, key: str) -> float: ...
    @overload
    def number(self, key: str, *, nullable: Literal[True]) -> float | None: ...
    def number(self, key: str, *, nullable: bool = False) -> float | None:
        value = self.get(key)
        if value is None and nullable:
            return None
        if (_is_int(value) or isinstance(value, float)) and abs(value) <= sys.float_info.max:
            return float(value)
        return self.fail(key, "a finite number" + " or null" * nullable, value)

    def boolean(self, key: str, default: bool) -> bool:
        value = self.get(key, default)
        return value if isinstance(value, bool) else self.fail(key, "true or false", value)

    def integers(self, key: str) -> tuple[int, ...]:
        value = self.get(key)
        if isinstance(value, list) and all(map(_is_int, value)):
            return tuple(value)
        return self.fail(key, "a list of integers", value)

    def strings(self, key: str) -> tuple[str, ...]:
        value = self.get(key, [])
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        return self.fail(key, "a list of strings", value)

    def pairs(self, key: str) -> tuple[Inplace, ...]:
        value = self.get(key, [])
        if isinstance(value, list) and all(
            isinstance(p, list) and len(p) in (2, 3) and all(map(_is_int, p)) for p in value
        ):
            return tuple((p[0], p[1]) if len(p) == 2 else (p[0], p[1], p[2]) for p in value)
        return self.fail(key, "a list of [input tensor, output tensor] or [input, output, distance]", value)

    def records(self, key: str, build: Callable[[_Record], _T]) -> tuple[_T, ...]:
        value = self.get(key)
        if not isinstance(value, list):
            self.fail(key, "a list of objects", value)
        return tuple(build(_Record(v, f"{self.path(key)}[{i}]", self.error)) for i, v in enumerate(value))

    def check_format(self, expected: str) -> None:
        found = self.string("format")
        if found != expected:
            raise self.error(f"key 'format': expected {expected!r}, found {found!r}")


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _kind(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 40 else f"{type(value).__name__} {text[:32]}..."


def graph_from_json(text: str, source: str = "graph") -> Graph:
    """Parse a ``memopt-graph/1`` document. Raises GraphError, which names ``source`` and the key."""
    record = _parse(text, source, GraphError)
    record.check_format(GRAPH_FORMAT)
    try:
        return Graph(
            name=record.string("name"),
            tensors=record.records("tensors", _tensor),
            ops=record.records("ops", _op),
            outputs=record.integers("outputs"),
            alignment=record.integer("alignment", 1),
        )
    except GraphError as error:
        raise error if str(error).startswith(source) else GraphError(f"{source}: {error}") from None


def plan_from_json(text: str, source: str = "plan") -> Plan:
    """Parse a ``memopt-plan/1`` document. Raises PlanError, which names ``source`` and the key."""
    record = _parse(text, source, PlanError)
    record.check_format(PLAN_FORMAT)
    status = record.string("status")
    if status not in PLAN_STATUSES:
        record.fail("status", f"one of {', '.join(PLAN_STATUSES)}", status)
    solver = record.get("solver")
    if not isinstance(solver, Mapping):
        record.fail("solver", "an object", solver)
    return Plan(
        graph=record.string("graph"),
        schedule=record.integers("schedule"),
        allocations=record.records("allocations", _allocation),
        alignment=record.integer("alignment"),
        arena_nbytes=record.integer("arena_nbytes"),
        peak_live_nbytes=record.integer("peak_live_nbytes"),
        lower_bound_nbytes=record.integer("lower_bound_nbytes", nullable=True),
        cost=record.number("cost"),
        base_cost=record.number("base_cost"),
        cost_bound=record.number("cost_bound", nullable=True),
        budget_nbytes=record.integer("budget_nbytes", nullable=True),
        status=status,
        solver=dict(solver),
        notes=record.strings("notes"),
    )


def _tensor(record: _Record) -> Tensor:
    kind = record.string("kind")
    if kind not in TENSOR_KINDS:
        record.fail("kind", f"one of {', '.join(TENSOR_KINDS)}", kind)
    nbytes = record.integer("nbytes")
    if nbytes < 0:
        record.fail("nbytes", "an integer >= 0", nbytes)
    return Tensor(
        name=record.string("name"),
        nbytes=nbytes,
        kind=kind,
        arena=record.boolean("arena", kind == "activation"),
        alias_of=record.integer("alias_of", None, nullable=True),
    )


def _op(record: _Record) -> Op:
    return Op(
        name=record.string("name"),
        inputs=record.integers("inputs"),
        outputs=record.integers("outputs"),
        cost=record.number("cost"),
        workspace=record.integer("workspace", 0),
        recomputable=record.boolean("recomputable", True),
        inplace=record.pairs("inplace"),
    )


def _allocation(record: _Record) -> Allocation:
    return Allocation(
        tensor=record.integer("tensor", nullable=True),
        first=record.integer("first"),
        last=record.integer("last"),
        offset=record.integer("offset"),
        nbytes=record.integer("nbytes"),
    )


def _parse(text: str, source: str, error: type[MemoptError]) -> _Record:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as cause:
        raise error(f"{source}: not valid JSON: {cause}") from None
    return _Record(value, "", lambda message: error(f"{source}: {message}"))


def graph_to_json(graph: Graph) -> str:
    """Serialise ``graph`` as a ``memopt-graph/1`` document, with one tensor or op per line."""
    head = {"format": GRAPH_FORMAT, "name": graph.name, "alignment": graph.alignment}
    rows = {"tensors": [asdict(t) for t in graph.tensors], "ops": [asdict(op) for op in graph.ops]}
    return _document(head, rows, {"outputs": graph.outputs})


def plan_to_json(plan: Plan) -> str:
    """Serialise ``plan`` as a ``memopt-plan/1`` document, with one allocation per line."""
    fields = {name: getattr(plan, name) for name in plan.__dataclass_fields__}
    rows = {"allocations": [asdict(a) for a in fields.pop("allocations")]}
    if not plan.notes:
        fields.pop("notes")  # optional, so that other readers of the format can ignore it
    return _document({"format": PLAN_FORMAT, **fields}, rows, {})


def _document(head: Mapping[str, object], rows: Mapping[str, Sequence[object]], tail: Mapping[str, object]) -> str:
    parts = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    for key, items in rows.items():
        lines = ",\n".join(f"  {json.dumps(item)}" for item in items)
        parts.append(f" {json.dumps(key)}: [\n{lines}\n ]" if items else f" {json.dumps(key)}: []")
    parts += [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in tail.items()]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def read_graph(path: str | os.PathLike[str]) -> Graph:
    """Read a ``memopt-graph/1`` file. Raises GraphError if it cannot be read or is not valid."""
    return graph_from_json(_read(path, GraphError), os.fspath(path))


def read_plan(path: str | os.PathLike[str]) -> Plan:
    """Read a ``memopt-plan/1`` file. Raises PlanError if it cannot be read or is not valid."""
    return plan_from_json(_read(path, PlanError), os.fspath(path))


def write_graph(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write ``graph`` to ``path`` atomically. Raises MemoptError if the file cannot be written."""
    write_text_atomic(path, graph_to_json(graph))


def write_plan(plan: Plan, path: str | os.PathLike[str]) -> None:
    """Write ``plan`` to ``path`` atomically. Raises MemoptError if the file cannot be written."""
    write_text_atomic(path, plan_to_json(plan))


def _read(path: str | os.PathLike[str], error: type[MemoptError]) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as cause:
        raise error(f"{os.fspath(path)}: cannot be read: {cause.strerror or cause}") from None
    except UnicodeDecodeError as cause:
        raise error(f"{os.fspath(path)}: cannot be read: {cause}") from None

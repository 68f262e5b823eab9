"""Unrolling of Loop and Scan with a known trip count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tvm_memopt.frontends.onnx.emit import CannotRewriteError, Emitter, attributes_of, optional
from tvm_memopt.frontends.onnx.file import graphs

if TYPE_CHECKING:
    import onnx

_MAX_TRIPS = 10_000


def unroll_loop(node: onnx.NodeProto, emit: Emitter) -> None:
    """Unroll a Loop. Raises CannotRewriteError if its trip count depends on run-time values."""
    import numpy as np

    body = attributes_of(node)["body"]
    most, go = _most_trips(node, emit), optional(node.input, 1)
    states = list(node.input[2:])
    rows: list[list[str]] = [[] for _ in body.output[1 + len(states) :]]
    trip = 0
    while (most is None or trip < most) and _goes_on(go, emit):
        if trip == _MAX_TRIPS:
            raise CannotRewriteError(f"it repeats more than {_MAX_TRIPS} times")
        counter = emit.constant(np.int64(trip))
        go, *outputs = _one_trip(body, [counter, go or emit.constant(np.bool_(True)), *states], emit, trip)
        states = outputs[: len(states)]
        for collected, row in zip(rows, outputs[len(states) :], strict=True):
            collected.append(row)
        trip += 1
    _finish(node, emit, states, rows, [0] * len(rows))


def _most_trips(node: onnx.NodeProto, emit: Emitter) -> int | None:
    name = optional(node.input, 0)
    if not name:
        return None
    known = emit.values.known(name)
    if known is None:
        raise CannotRewriteError(
            f"its number of trips {name!r} is computed at run time; make it a constant, or fix the shape that it "
            "comes from with --shape"
        )
    return int(known.reshape(-1)[0])


def _goes_on(condition: str, emit: Emitter) -> bool:
    if not condition:
        return True
    known = emit.values.known(condition)
    if known is None:
        raise CannotRewriteError(
            "its loop condition is computed at run time; export the model with a fixed number of trips"
        )
    return bool(known.reshape(-1)[0])


def unroll_scan(node: onnx.NodeProto, emit: Emitter) -> None:
    """Replace a Scan by copies of its body.

    Raises CannotRewriteError for operator set 8, and if the number of trips is unknown or too large.
    """
    attributes = attributes_of(node)
    body, count = attributes["body"], attributes["num_scan_inputs"]
    if emit.opset < 9:
        raise CannotRewriteError("its form is that of operator set 8; convert the model to operator set 9 or later")
    states, scanned = list(node.input[:-count]), list(node.input[-count:])
    kept = len(body.output) - len(states)
    axes = attributes.get("scan_input_axes", [0] * count)
    backward = attributes.get("scan_input_directions", [0] * count)
    steps = _scan_steps(scanned[0], axes[0], emit)
    rows: list[list[str]] = [[] for _ in range(kept)]
    for trip in range(steps):
        positions = [steps - 1 - trip if back else trip for back in backward]
        parts = [emit.take(*one) for one in zip(scanned, positions, axes, strict=True)]
        outputs = _one_trip(body, [*states, *parts], emit, trip)
        states = outputs[: len(states)]
        for collected, row in zip(rows, outputs[len(states) :], strict=True):
            collected.append(row)
    for collected, back in zip(rows, attributes.get("scan_output_directions", [0] * kept), strict=True):
        if back:
            collected.reverse()
    _finish(node, emit, states, rows, attributes.get("scan_output_axes", [0] * kept))


def _scan_steps(name: str, axis: int, emit: Emitter) -> int:
    dims = emit.values.dims.get(name)
    steps = dims[axis] if dims else None
    if steps is None:
        raise CannotRewriteError(f"the length of its input {name!r} is known at run time only; fix it with --shape")
    if steps > _MAX_TRIPS:
        raise CannotRewriteError(f"it repeats more than {_MAX_TRIPS} times")
    return steps


def _finish(node: onnx.NodeProto, emit: Emitter, states: list[str], rows: list[list[str]], axes: list[int]) -> None:
    if any(not collected for collected in rows):
        raise CannotRewriteError("it never runs, which leaves an empty output")
    results = [*states, *(emit.stack(collected, axis) for collected, axis in zip(rows, axes, strict=True))]
    for result, output in zip(results, node.output, strict=False):
        emit.rename(result, output)


def _one_trip(body: onnx.GraphProto, inputs: list[str], emit: Emitter, trip: int) -> list[str]:
    """Copy the body once, with ``inputs`` as its inputs. Returns the names of its outputs."""
    from onnx import NodeProto

    names = {value.name: name for value, name in zip(body.input, inputs, strict=True)}
    names |= _constants(body, emit)
    names |= {name: f"{emit.prefix}/{trip}/{name}" for name in _made_in(body) if name not in names}
    for node in body.node:
        copy = NodeProto()
        copy.CopyFrom(node)
        _rename(copy, names)
        emit.nodes.append(copy)
        emit.values.producers.update(dict.fromkeys(copy.output, copy))
    return [names.get(value.name, value.name) for value in body.output]


def _constants(body: onnx.GraphProto, emit: Emitter) -> dict[str, str]:
    """Move the body's constants out of it, shared by all trips."""
    from onnx import numpy_helper

    moved = {}
    for tensor in body.initializer:
        key = ("of the body", tensor.name)
        if key not in emit.names:
            emit.names[key] = emit.constant(numpy_helper.to_array(tensor))
        moved[tensor.name] = emit.names[key]
    return moved


def _made_in(body: onnx.GraphProto) -> Iterator[str]:
    """Names that must differ between copies of the body: outputs of its nodes, and all names in inner graphs."""
    for graph in graphs(body):
        yield from (name for node in graph.node for name in node.output if name)
        if graph is not body:
            yield from (value.name for value in (*graph.input, *graph.initializer))


def _rename(node: onnx.NodeProto, names: dict[str, str]) -> None:
    node.name = names.get(node.output[0], node.name)
    node.input[:] = [names.get(name, name) for name in node.input]
    node.output[:] = [names.get(name, name) for name in node.output]
    for attribute in node.attribute:
        if attribute.HasField("g"):
            graph = attribute.g
            for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
                value.name = names.get(value.name, value.name)
            for inner in graph.node:
                _rename(inner, names)

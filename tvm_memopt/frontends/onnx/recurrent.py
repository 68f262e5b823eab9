"""Unrolling of LSTM, GRU and RNN with a fixed number of steps into matrix products and element-wise operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tvm_memopt.frontends.onnx.emit import Attributes, CannotRewriteError, Emitter, attributes_of, optional

if TYPE_CHECKING:
    import onnx
    from numpy.typing import DTypeLike

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_DEFAULT_ACTIVATIONS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
_PARAMETERS: dict[str, dict[str, float]] = {
    "sigmoid": {}, "tanh": {}, "relu": {}, "softsign": {}, "softplus": {},
    "leakyrelu": {"alpha": 0.01}, "thresholdedrelu": {"alpha": 1.0}, "elu": {"alpha": 1.0},
    "hardsigmoid": {"alpha": 0.2, "beta": 0.5}, "affine": {"alpha": 1.0, "beta": 0.0},
    "scaledtanh": {"alpha": 1.0, "beta": 1.0},
}  # fmt: skip
_OPERATORS = {
    "sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu", "softsign": "Softsign", "softplus": "Softplus",
    "leakyrelu": "LeakyRelu", "thresholdedrelu": "ThresholdedRelu", "elu": "Elu", "hardsigmoid": "HardSigmoid",
}  # fmt: skip


@dataclass(frozen=True)
class _Activation:
    name: str
    parameters: dict[str, float]

    def __call__(self, emit: Emitter, value: str, kind: DTypeLike) -> str:
        import numpy as np

        if self.name in _OPERATORS:
            return emit.add(_OPERATORS[self.name], value, output="", **self.parameters)
        alpha, beta = (emit.constant(np.asarray(self.parameters[key], kind)) for key in ("alpha", "beta"))
        if self.name == "affine":
            return emit.add("Add", emit.add("Mul", value, alpha), beta)
        return emit.add("Mul", emit.add("Tanh", emit.add("Mul", value, beta)), alpha)


@dataclass(frozen=True)
class _Cell:
    """One direction of a recurrent node. Weights are given by name, transposed to be the right operand of a product."""

    emit: Emitter
    kind: DTypeLike
    hidden: int
    attributes: Attributes
    activations: list[_Activation]
    recurrent: str
    bias: str
    peepholes: list[str] = field(default_factory=list)

    def gate(self, values: str, index: int) -> str:
        return self.emit.slice(values, -1, index * self.hidden, (index + 1) * self.hidden)

    def activate(self, index: int, value: str) -> str:
        import numpy as np

        if limit := self.attributes.get("clip", 0.0):
            bounds = (self.emit.constant(np.asarray(bound, self.kind)) for bound in (limit, -limit))
            value = self.emit.add("Min", value, next(bounds))
            value = self.emit.add("Max", value, next(bounds))
        return self.activations[index](self.emit, value, self.kind)


def unroll_recurrent(node: onnx.NodeProto, emit: Emitter) -> None:
    """Unroll an LSTM, GRU or RNN. Raises CannotRewriteError if the number of steps is unknown."""
    attributes = attributes_of(node)
    rows = bool(attributes.get("layout", 0))
    x = emit.add("Transpose", node.input[0], perm=[1, 0, 2]) if rows else node.input[0]
    steps = _steps(node, emit, axis=1 if rows else 0)
    directions = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[
        attributes.get("direction", "forward").lower()
    ]
    found = [_direction(node, emit, attributes, x, steps, i, back) for i, back in enumerate(directions)]
    y = emit.stack([emit.stack(states, 0) for states, _ in found], 1)
    lasts = [emit.stack([last[i] for _, last in found], 0) for i in range(len(found[0][1]))]
    if rows:
        y = emit.add("Transpose", y, perm=[2, 0, 1, 3])
        lasts = [emit.add("Transpose", last, perm=[1, 0, 2]) for last in lasts]
    for value, position in zip((y, *lasts), range(3), strict=False):
        emit.rename(value, optional(node.output, position))


def _steps(node: onnx.NodeProto, emit: Emitter, axis: int) -> int:
    steps = emit.values.dims.get(node.input[0], (None,) * 3)[axis]
    if steps is None:
        raise CannotRewriteError(
            f"the length of its input {node.input[0]!r} is known at run time only; fix the sequence length with --shape"
        )
    return steps


def _activations(node: onnx.NodeProto, attributes: Attributes, index: int) -> list[_Activation]:
    """The activations of one direction. Parameters are assigned in order to the activations that take them."""
    defaults = _DEFAULT_ACTIVATIONS[node.op_type]
    names = attributes.get("activations") or defaults * 2
    given = {key: iter(attributes.get(f"activation_{key}", [])) for key in ("alpha", "beta")}
    chosen = []
    for name in names:
        if name.lower() not in _PARAMETERS:
            raise CannotRewriteError(f"its activation {name} is not known")
        parameters = {key: next(given[key], default) for key, default in _PARAMETERS[name.lower()].items()}
        chosen.append(_Activation(name.lower(), parameters))
    return chosen[index * len(defaults) : (index + 1) * len(defaults)]


def _direction(
    node: onnx.NodeProto, emit: Emitter, attributes: Attributes, x: str, steps: int, index: int, back: bool
) -> tuple[list[str], list[str]]:
    """The hidden states in input order, and the final states: hidden, and cell for an LSTM."""
    cell = _cell(node, emit, attributes, index)
    products = emit.add("MatMul", x, emit.add("Transpose", emit.take(node.input[1], index), perm=[1, 0]))
    if cell.bias and node.op_type != "GRU":
        products = emit.add("Add", products, cell.bias)
    advance = {"LSTM": _lstm_step, "GRU": _gru_step, "RNN": _rnn_step}[node.op_type]
    rows = bool(attributes.get("layout", 0))
    initial = [optional(node.input, 5)] + ([optional(node.input, 6)] if node.op_type == "LSTM" else [])
    states = [_initial(cell, name, index, rows) for name in initial]
    lengths = _lengths(node, emit, steps)
    outputs: dict[int, str] = {}
    for step in reversed(range(steps)) if back else range(steps):
        new = advance(cell, emit.take(products, step), states)
        outputs[step] = new[0]
        if lengths:
            new, outputs[step] = _masked(cell, lengths, step, states, new)
        states = new
    return [outputs[step] for step in range(steps)], states


def _cell(node: onnx.NodeProto, emit: Emitter, attributes: Attributes, index: int) -> _Cell:
    hidden = int(attributes.get("hidden_size", 0)) or emit.values.dims[node.input[2]][2]
    if hidden is None:
        raise CannotRewriteError("its hidden size is not known")
    recurrent = emit.add("Transpose", emit.take(node.input[2], index), perm=[1, 0])
    width = _GATES[node.op_type] * hidden
    bias = optional(node.input, 3)
    if bias:
        both = emit.take(bias, index)
        bias = both if node.op_type == "GRU" else emit.add("Add", *_halves(emit, both, width))
    peepholes = optional(node.input, 7)
    cell = _Cell(
        emit, _float_kind(node, emit), hidden, attributes, _activations(node, attributes, index), recurrent, bias
    )
    if peepholes:
        own = emit.take(peepholes, index)
        cell.peepholes.extend(cell.gate(own, i) for i in range(3))
    return cell


def _float_kind(node: onnx.NodeProto, emit: Emitter) -> DTypeLike:
    import numpy as np

    weights = emit.values.known(node.input[1])
    return np.float32 if weights is None else weights.dtype


def _halves(emit: Emitter, both: str, width: int) -> tuple[str, str]:
    return emit.slice(both, 0, 0, width), emit.slice(both, 0, width, 2 * width)


def _initial(cell: _Cell, name: str, index: int, rows: bool) -> str:
    """The initial state: (batch, hidden), or zeros that broadcast to any batch."""
    import numpy as np

    if name:
        return cell.emit.take(name, index, axis=1 if rows else 0)
    return cell.emit.constant(np.zeros((1, cell.hidden), cell.kind))


def _lengths(node: onnx.NodeProto, emit: Emitter, steps: int) -> str:
    """The name of the sequence lengths, or "" if all sequences have full length."""
    name = optional(node.input, 4)
    known = emit.values.known(name) if name else None
    return "" if known is not None and (known >= steps).all() else name


def _masked(cell: _Cell, lengths: str, step: int, old: list[str], new: list[str]) -> tuple[list[str], str]:
    """Mask a step: past the end of a sequence the states stay unchanged and the output is zero."""
    import numpy as np

    emit = cell.emit
    inside = emit.unsqueeze(emit.add("Less", emit.constant(np.int32(step)), lengths), 1)
    states = [emit.add("Where", inside, after, before) for after, before in zip(new, old, strict=True)]
    return states, emit.add("Where", inside, new[0], emit.constant(np.zeros((1, 1), cell.kind)))


def _rnn_step(cell: _Cell, x: str, states: list[str]) -> list[str]:
    total = cell.emit.add("Add", x, cell.emit.add("MatMul", states[0], cell.recurrent))
    return [cell.activate(0, total)]


def _lstm_step(cell: _Cell, x: str, states: list[str]) -> list[str]:
    emit, (hidden, memory) = cell.emit, states
    total = emit.add("Add", x, emit.add("MatMul", hidden, cell.recurrent))

    def gate(index: int, peephole: int, seen: str) -> str:
        value = cell.gate(total, index)
        if cell.peepholes:
            value = emit.add("Add", value, emit.add("Mul", cell.peepholes[peephole], seen))
        return cell.activate(0, value)

    let_in = gate(0, 0, memory)
    keep = _complement(cell, let_in) if cell.attributes.get("input_forget", 0) else gate(2, 2, memory)
    candidate = cell.activate(1, cell.gate(total, 3))
    new = emit.add("Add", emit.add("Mul", keep, memory), emit.add("Mul", let_in, candidate))
    return [emit.add("Mul", gate(1, 1, new), cell.activations[2](emit, new, cell.kind)), new]


def _gru_step(cell: _Cell, x: str, states: list[str]) -> list[str]:
    emit, (hidden,) = cell.emit, states
    outer, inner = _gru_biases(cell)
    product = emit.add("MatMul", hidden, cell.recurrent) if cell.attributes.get("linear_before_reset", 0) else ""

    def gate(index: int) -> str:
        weights = cell.gate(cell.recurrent, index)
        recurrent = cell.gate(product, index) if product else emit.add("MatMul", hidden, weights)
        return cell.activate(0, _sum(emit, cell.gate(x, index), recurrent, outer(index), inner(index)))

    update, reset = gate(0), gate(1)
    if product:
        past = emit.add("Mul", reset, _sum(emit, cell.gate(product, 2), inner(2)))
        total = _sum(emit, cell.gate(x, 2), past, outer(2))
    else:
        past = emit.add("MatMul", emit.add("Mul", reset, hidden), cell.gate(cell.recurrent, 2))
        total = _sum(emit, cell.gate(x, 2), past, outer(2), inner(2))
    candidate = cell.activate(1, total)
    kept = emit.add("Mul", update, hidden)
    return [emit.add("Add", emit.add("Mul", _complement(cell, update), candidate), kept)]


def _gru_biases(cell: _Cell) -> tuple[Callable[[int], str], Callable[[int], str]]:
    """The biases of the input and state products, by gate. "" if there are none."""
    if not cell.bias:
        return lambda _: "", lambda _: ""
    return lambda index: cell.gate(cell.bias, index), lambda index: cell.gate(cell.bias, 3 + index)


def _sum(emit: Emitter, first: str, *others: str) -> str:
    for other in others:
        first = emit.add("Add", first, other) if other else first
    return first


def _complement(cell: _Cell, value: str) -> str:
    import numpy as np

    return cell.emit.add("Sub", cell.emit.constant(np.asarray(1, cell.kind)), value)

"""Random Relax functions with nested Ifs, each beside a numpy function that computes the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
import tvm
from tvm.script import ir as I
from tvm.script import relax as R

# Relax text and numpy text of one operation on matrices of 32 by 32.
_OPERATIONS = (
    ("R.matmul({0}, {1})", "{0} @ {1}"),
    ("R.nn.softmax({0})", "softmax({0})"),
    ("R.add({0}, {1})", "{0} + {1}"),
    ("R.permute_dims(R.nn.softmax({0}))", "softmax({0}).T"),
    (
        "R.reshape(R.nn.softmax(R.reshape({0}, (16, 64))), (32, 32))",
        "softmax({0}.reshape(16, 64)).reshape(32, 32)",
    ),
    (
        "R.multiply(R.sum(R.nn.relu(R.matmul({0}, {1})), axis=1, keepdims=True), {0})",
        "np.maximum({0} @ {1}, 0).sum(1, keepdims=True) * {0}",
    ),
)
_HEAD = """@I.ir_module
class Module:
    @R.function
    def main(x: R.Tensor((32, 32), "float32"), c: R.Tensor((), "bool"), d: R.Tensor((), "bool")):
"""


def softmax(value):
    e = np.exp(value - value.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class _Writer:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.relax: list[str] = []
        self.numpy: list[str] = []
        self.count = 0

    def name(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def line(self, depth: int, relax: str, numpy: str | None = None) -> None:
        self.relax.append("    " * (depth + 1) + relax)
        self.numpy.append("    " * depth + (relax if numpy is None else numpy))

    def block(self, depth: int, values: Sequence[str], ifs: int) -> list[str]:
        """Some operations, and Ifs nested up to ``ifs`` deep; the values in scope behind them."""
        found = list(values)
        for _ in range(self.random.randint(1, 4)):
            if ifs and self.random.random() < 0.4:
                found += self.choice(depth, found, ifs - 1)
            else:
                operands = [self.random.choice(found) for _ in range(2)]
                relax, numpy = self.random.choice(_OPERATIONS)
                found.append(self.name())
                self.line(depth, f"{found[-1]} = {relax.format(*operands)}", f"{found[-1]} = {numpy.format(*operands)}")
        return found

    def choice(self, depth: int, values: Sequence[str], ifs: int) -> list[str]:
        """An If whose result is one matrix or two; the values that it adds."""
        name, pair = self.name(), self.random.random() < 0.25
        self.line(depth, f"if {self.random.choice('cd')}:")
        for branch in range(2):
            inner = self.block(depth + 1, values, ifs)
            own = inner[len(values) :]
            picked = [self.random.choice(own if self.random.random() < 0.8 else inner) for _ in range(1 + pair)]
            self.line(depth + 1, f"{name} = " + (f"({picked[0]}, {picked[1]})" if pair else picked[0]))
            if branch == 0:
                self.line(depth, "else:")
        return [f"{name}[0]", f"{name}[1]"] if pair else [name]


def random_branches(seed: int) -> tuple[tvm.IRModule, Callable[..., np.ndarray]]:
    """(module, numpy function) of x, c and d."""
    writer = _Writer(seed)
    values = writer.block(1, ["x"], 2)
    values = writer.block(1, values + writer.choice(1, values, 1), 0)
    tail = writer.random.sample(values, min(len(values), 3))
    writer.line(1, f"out = R.concat([{', '.join(tail)}], axis=0)", f"out = np.concatenate([{', '.join(tail)}])")
    writer.line(1, f"return {writer.random.choice(['out', values[-1]])}")
    module = tvm.script.from_source(_HEAD + "\n".join(writer.relax), extra_vars={"I": I, "R": R, "tvm": tvm})
    scope: dict[str, Callable[..., np.ndarray]] = {}
    exec("def computed(x, c, d):\n" + "\n".join(writer.numpy), {"np": np, "softmax": softmax}, scope)
    return module, scope["computed"]

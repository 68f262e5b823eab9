"""Random modules, built unmodified and planned, must give the same bits. ``MEMOPT_RELAY_EXAMPLES`` sets how many."""

from __future__ import annotations

import os

import numpy as np
import tvm
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tvm import relay

import tvm_memopt as mo
from tests.relay.running import outputs_of, same, workspace_nbytes
from tvm_memopt.graph import check

EXAMPLES = int(os.environ.get("MEMOPT_RELAY_EXAMPLES", "8"))
CHANNELS = (2, 4, 6)
KINDS = ("unary", "conv", "binary", "concatenate", "split", "pool", "reshape", "mean")


class _Network:
    """Grows a network over values of shape (1, c, 4, 4) by drawing an operator and its arguments."""

    def __init__(self, draw):
        self.draw = draw
        self.values = [relay.var("x", shape=(1, 4, 4, 4)), relay.var("y", shape=(1, 2, 4, 4))]
        self.channels = [4, 2]
        self.weights = 0

    def pick(self, channels=None):
        fitting = [i for i, c in enumerate(self.channels) if channels in (None, c)]
        return self.draw(st.sampled_from(fitting))

    def add(self, value, channels):
        self.values.append(value)
        self.channels.append(channels)

    def constant(self, *shape):
        self.weights += 1
        return relay.const(np.random.default_rng(self.weights).standard_normal(shape).astype("float32"))

    def grow(self):
        kind = self.draw(st.sampled_from(KINDS))
        i = self.pick()
        value, channels = self.values[i], self.channels[i]
        if kind == "unary":
            function = self.draw(st.sampled_from([relay.nn.relu, relay.sigmoid, relay.exp, relay.nn.softmax]))
            self.add(function(value), channels)
        elif kind == "conv":
            out, size = self.draw(st.sampled_from(CHANNELS)), self.draw(st.sampled_from([1, 3]))
            weight = self.constant(out, channels, size, size)
            options = {"channels": out, "kernel_size": (size, size), "padding": (size // 2, size // 2)}
            self.add(relay.nn.conv2d(value, weight, **options), out)
        elif kind == "binary":
            other = self.values[self.pick(channels)]
            function = self.draw(st.sampled_from([relay.add, relay.multiply, relay.maximum]))
            self.add(function(value, other), channels)
        elif kind == "concatenate":
            j = self.pick()
            self.add(relay.concatenate([value, self.values[j]], 1), channels + self.channels[j])
        elif kind == "split" and channels % 2 == 0:
            parts = relay.split(value, 2, axis=1)
            for part in self.draw(st.sampled_from([[0], [1], [0, 1]])):
                self.add(parts[part], channels // 2)
        elif kind == "pool":
            self.add(relay.nn.max_pool2d(value, (3, 3), (1, 1), padding=(1, 1)), channels)
        elif kind == "reshape":
            flat = relay.nn.softmax(relay.reshape(value, (1, channels * 16)))
            self.add(relay.reshape(flat, (1, channels, 4, 4)), channels)
        elif kind == "mean":
            self.add(value - relay.mean(value, axis=1, keepdims=True), channels)


@st.composite
def modules(draw):
    network = _Network(draw)
    for _ in range(draw(st.integers(1, 9))):
        network.grow()
    chosen = draw(st.lists(st.integers(0, len(network.values) - 1), min_size=1, max_size=3))
    results = [network.values[i] for i in {*chosen, len(network.values) - 1}]
    body = results[0] if len(results) == 1 else relay.Tuple(results)
    function = relay.Function(relay.analysis.free_vars(body), body)
    return relay.transform.InferType()(tvm.IRModule.from_expr(function))


@given(modules(), st.sampled_from(["graph", "aot", "vm"]), st.sampled_from([None, "95%"]))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=EXAMPLES < 100)
def test_random_modules_give_the_same_outputs(mod, executor, budget):
    rng = np.random.default_rng(0)
    inputs = {
        p.name_hint: rng.standard_normal([int(d) for d in p.checked_type.shape]).astype("float32")
        for p in mod["main"].params
    }
    expected = outputs_of(mo.relay.build_unmodified(mod, None, {}), inputs)
    try:
        built = mo.relay.build(mod, params={}, executor=executor, budget=budget, time_limit=1)
    except mo.MemoptError as error:
        assert budget is not None
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert same(outputs_of(built.factory, inputs, executor), expected)
    if built.planned is not None:
        check(built.planned.graph, built.planned.plan)
        if executor == "aot" and built.pools is not None:
            assert workspace_nbytes(built.factory) == built.planned.plan.arena_nbytes

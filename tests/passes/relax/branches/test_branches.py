# ruff: noqa: SIM108 (TVMScript has no conditional expression)
"""If: one op of the graph, and never wrong; test_planned_branches.py has what is inside."""

from __future__ import annotations

import numpy as np
import pytest
from tvm import relax
from tvm.script import ir as I
from tvm.script import relax as R

from tests.passes.relax.running import HOST, MODES, arena_tensors, extracted, optimised, outputs, random_arrays
from tvm_memopt import testing

X = random_arrays([(64, 64)])[0] / np.float32(8)


@I.ir_module
class Plain:
    @R.function
    def main(x: R.Tensor((64, 64), "float32"), c: R.Tensor((), "bool")) -> R.Tensor((64, 64), "float32"):
        y = R.add(x, x)
        if c:
            a = R.nn.relu(y)
            z = R.add(a, x)
        else:
            b = R.exp(y)
            d = R.add(b, R.const(1.0, "float32"))
            z = R.multiply(d, d)
        w = R.matmul(z, y)
        return R.add(w, z)


def plain(x, c):
    y = x + x
    z = np.maximum(y, 0) + x if c else (np.exp(y) + 1) ** 2
    return z @ y + z


@I.ir_module
class Aliased:
    @R.function
    def main(x: R.Tensor((64, 64), "float32"), c: R.Tensor((), "bool")) -> R.Tensor((64, 64), "float32"):
        y = R.add(x, x)
        u = R.nn.relu(x)
        if c:
            z = y
        else:
            z = u
        t = R.exp(z)
        w = R.matmul(y, t)
        q = R.subtract(y, R.permute_dims(z))
        return R.add(w, q)


def aliased(x, c):
    y, u = x + x, np.maximum(x, 0)
    z = y if c else u
    return y @ np.exp(z) + (y - z.T)


@I.ir_module
class Tuples:
    @R.function
    def main(x: R.Tensor((64, 64), "float32"), c: R.Tensor((), "bool")) -> R.Tensor((64, 64), "float32"):
        y = R.add(x, x)
        parts = R.split(y, 2, axis=1)
        if c:
            if c:
                pair = (parts[0], R.nn.relu(parts[1]))
            else:
                pair = (parts[1], parts[0])
        else:
            pair = (parts[1], parts[0])
        whole = R.concat([pair[0], pair[1]], axis=1)
        return R.matmul(whole, y)


def tuples(x, c):
    y = x + x
    left, right = y[:, :32], y[:, 32:]
    pair = (left, np.maximum(right, 0)) if c else (right, left)
    return np.concatenate(pair, axis=1) @ y


CASES = [(Plain, plain), (Aliased, aliased), (Tuples, tuples)]


@pytest.mark.parametrize(("module", "reference"), CASES, ids=lambda v: getattr(v, "__name__", ""))
@pytest.mark.parametrize("mode", MODES)
def test_both_branches_are_right(module, reference, mode):
    """Against numpy: TVM's own storage planner crashes on the else branch."""
    planned, _ = optimised(module)
    testing.assert_valid(planned)
    built = relax.build(planned, HOST, exec_mode=mode)
    for condition in (True, False, True):
        (found,) = outputs(built, [X, np.array(condition)])
        np.testing.assert_allclose(found, reference(X.astype("float64"), condition), rtol=1e-4, atol=1e-4)


def test_an_if_is_one_op_that_reads_what_its_branches_use():
    found = extracted(Plain)
    index, _ = next((i, o) for i, o in enumerate(found.operations) if o.name == "if")
    op = found.graph.ops[index]
    assert not op.recomputable
    read = {found.graph.tensors[t].name for t in op.inputs}
    assert {"x", "c"} <= read
    assert found.graph.ops[0].outputs[0] in op.inputs


def test_the_result_of_an_if_keeps_alive_what_it_may_be():
    found = extracted(Aliased)
    graph = found.graph
    chosen = next(i for i, o in enumerate(found.operations) if o.name == "if")
    candidates = {t for op in graph.ops[:chosen] for t in op.outputs if graph.planned[t]}
    assert len(candidates) == 2
    for op_id in range(chosen + 1, len(graph.ops)):
        if graph.ops[chosen].outputs[0] in graph.ops[op_id].inputs:
            assert candidates <= set(graph.reads[op_id])


def test_a_tensor_that_an_if_may_return_is_returned_itself():
    @I.ir_module
    class Returned:
        @R.function
        def main(x: R.Tensor((64, 64), "float32"), c: R.Tensor((), "bool")) -> R.Tensor((64, 64), "float32"):
            y = R.exp(x)
            u = R.nn.relu(x)
            if c:
                z = y
            else:
                z = R.matmul(u, y)
            return z

    graph = extracted(Returned).graph
    assert arena_tensors(graph) == {"relu"}
    planned, _ = optimised(Returned)
    built = relax.build(planned, HOST)
    (kept,) = outputs(built, [X, np.array(True)])
    assert kept.tobytes() != outputs(built, [X, np.array(False)])[0].tobytes()
    np.testing.assert_allclose(kept, np.exp(X), rtol=1e-5)


def test_kernels_of_unplanned_branches_keep_their_own_form_beside_the_planned_one():
    @I.ir_module
    class Both:
        @R.function
        def rectified(x: R.Tensor((1, 4, 12, 12), "float32")) -> R.Tensor((1, 4, 12, 12), "float32"):
            return R.nn.relu(x)

        @R.function
        def main(x: R.Tensor((1, 4, 12, 12), "float32"), c: R.Tensor((), "bool")) -> R.Tensor(
            (1, 4, 12, 12), "float32"
        ):
            cls = Both
            w = R.ones((4, 4, 3, 3), "float32")
            y = R.nn.conv2d(x, w, padding=1)
            if c:
                z = R.nn.conv2d(y, w, padding=1)
            else:
                z = R.nn.conv2d(cls.rectified(y), w, padding=1)
            return R.nn.conv2d(z, w, padding=1)

    planned, _ = optimised(Both, fold_data_movement="never")
    names = {v.name_hint for v, _ in planned.functions_items()}
    assert {"conv2d", "conv2d_planned"} <= names
    image = random_arrays([(1, 4, 12, 12)])[0]
    built = relax.build(planned, HOST)
    expected = reference_convolutions(image)
    for condition in (True, False):
        (found,) = outputs(built, [image, np.array(condition)])
        np.testing.assert_allclose(found, expected[condition], rtol=1e-4, atol=1e-3)


def reference_convolutions(image):
    def conv(value):
        padded = np.pad(value.sum(axis=1, keepdims=True), [(0, 0), (0, 0), (1, 1), (1, 1)])
        total = sum(padded[:, :, i : i + 12, j : j + 12] for i in range(3) for j in range(3))
        return np.repeat(total, 4, axis=1)

    first = conv(image.astype("float64"))
    return {True: conv(conv(first)), False: conv(conv(np.maximum(first, 0)))}

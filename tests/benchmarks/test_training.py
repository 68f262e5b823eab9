"""Training steps: what they take and return, and that their gradients are right."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks import zoo
from benchmarks.zoo import training

SMALL = {
    "mlp": training.mlp_train(batch=16, features=8, width=12, layers=3, classes=5),
    "resnet": training.resnet_train(batch=3, side=8, channels=4, stages=2, blocks=1, classes=5),
    "unet": training.unet_train(batch=2, side=8, channels=4, depth=1, classes=3),
    "transformer": training.transformer_train(batch=2, tokens=6, width=8, heads=2, blocks=1, classes=5),
}
SIZES = {
    "mlp": {"layers": 3},
    "resnet": {"stages": 2, "blocks": 1},
    "unet": {"depth": 1},
    "transformer": {"blocks": 1, "heads": 2},
}
STEP = 1e-3
_machines: dict[str, object] = {}


def compiled(name):
    """TVM's own build without LLVM's optimiser, which takes most of the time."""
    import tvm

    from tvm_memopt.passes.build import build_unmodified

    if name not in _machines:
        target = tvm.target.Target({"kind": "llvm", "opt-level": 0})
        _machines[name] = build_unmodified(SMALL[name].load(), target)
    return _machines[name]


def loss_and_gradients(name, arrays):
    from tvm_memopt.runtime import run_module

    return run_module(compiled(name), arrays)


def test_the_training_models_stand_beside_the_set_and_not_in_it():
    assert set(zoo.TRAINING) == {"mlp_train", "resnet_train", "unet_train", "transformer_train"}
    assert set(zoo.TRAINING).isdisjoint(zoo.MODELS)
    assert all(name == model.name for name, model in zoo.TRAINING.items())


@pytest.mark.parametrize("name", sorted(zoo.TRAINING))
def test_inputs_are_data_labels_and_parameters_and_repeat_with_the_seed(name):
    model = zoo.TRAINING[name]
    first, again, other = (zoo.load_inputs(name, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert [item.name for item in model.inputs[:2]] == ["x", "labels"]
    assert len({item.name for item in model.inputs}) == len(first) == len(model.parameters) + 2


@pytest.mark.parametrize("name", sorted(zoo.TRAINING))
def test_main_takes_the_inputs_and_returns_the_loss_and_a_gradient_for_each_parameter(name):
    model = zoo.TRAINING[name]
    main = model.load()["main"]
    assert [variable.name for variable in main.params] == [item.name for item in model.inputs]
    loss, gradients = main.ret_ty.fields
    assert list(loss.shape) == []
    shapes = [tuple(int(size) for size in gradient.shape) for gradient in gradients.fields]
    assert shapes == [item.shape for item in model.parameters]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(zoo.TRAINING))
def test_activations_outweigh_parameters(name):
    from tvm_memopt.api import extract
    from tvm_memopt.graph import given_order, peak_live

    model = zoo.TRAINING[name]
    graph = extract(model.load())
    sizes = {tensor.name: tensor.nbytes for tensor in graph.tensors if tensor.kind == "weight"}
    assert [sizes[item.name] for item in model.parameters] == [4 * math.prod(item.shape) for item in model.parameters]
    assert peak_live(graph, given_order(graph)) > 5 * model.parameters_nbytes
    assert 30 <= len(graph.ops) <= 300
    assert all(op.recomputable for op in graph.ops if op.cost)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SMALL))
def test_gradients_are_those_of_torch(name):
    pytest.importorskip("torch", reason="the reference gradients are torch's")
    from . import training_in_torch as reference

    arrays = SMALL[name].draw(seed=3)
    expected = reference.loss_and_gradients(getattr(reference, name), arrays, **SIZES[name])
    found = loss_and_gradients(name, arrays)
    assert len(found) == len(expected)
    labels = ["loss", *(item.name for item in SMALL[name].parameters)]
    for label, ours, theirs in zip(labels, found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * np.abs(theirs).max(), err_msg=label)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_the_loss_falls_along_each_gradient_as_fast_as_the_gradient_says(name):
    arrays = SMALL[name].draw(seed=4)
    gradients = loss_and_gradients(name, arrays)[1:]
    for position, gradient in enumerate(gradients, start=2):
        length = float(np.linalg.norm(gradient))
        direction = gradient / length
        moved = [[*arrays[:position], arrays[position] + s * direction, *arrays[position + 1 :]] for s in (STEP, -STEP)]
        up, down = (float(loss_and_gradients(name, inputs)[0]) for inputs in moved)
        assert (up - down) / (2 * STEP) == pytest.approx(length, rel=0.05, abs=2e-3), SMALL[name].inputs[position].name

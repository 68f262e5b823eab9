"""The training networks once more, in torch: what their losses and gradients are held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

Tensors = Iterator[torch.Tensor]
EPSILON = 1e-5


def loss_and_gradients(
    forward: Callable[..., torch.Tensor], arrays: Sequence[np.ndarray], **sizes: Any
) -> list[np.ndarray]:
    """The loss and the gradient of each parameter, by torch's own differentiation in float64."""
    data, labels = torch.from_numpy(arrays[0]).double(), torch.from_numpy(arrays[1]).long()
    parameters = [torch.from_numpy(array).double().requires_grad_() for array in arrays[2:]]
    left = iter(parameters)
    loss = forward(data, labels, left, **sizes)
    assert next(left, None) is None
    return [item.detach().numpy() for item in (loss, *torch.autograd.grad(loss, parameters))]


def mlp(x: torch.Tensor, labels: torch.Tensor, p: Tensors, *, layers: int) -> torch.Tensor:
    for _ in range(layers):
        x = F.relu(linear(x, p))
    return F.cross_entropy(linear(x, p), labels)


def resnet(x: torch.Tensor, labels: torch.Tensor, p: Tensors, *, stages: int, blocks: int) -> torch.Tensor:
    x = F.relu(batch_norm(F.conv2d(x, next(p), padding=1), p))
    for stage in range(stages):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            inner = F.relu(batch_norm(F.conv2d(x, next(p), stride=stride, padding=1), p))
            inner = batch_norm(F.conv2d(inner, next(p), padding=1), p)
            x = F.relu(inner + (F.conv2d(x, next(p), stride=stride) if stride == 2 else x))
    return F.cross_entropy(linear(x.mean((2, 3)), p), labels)


def unet(x: torch.Tensor, labels: torch.Tensor, p: Tensors, *, depth: int) -> torch.Tensor:
    skips = []
    for _ in range(depth):
        skips.append(two_convs(x, p))
        x = F.max_pool2d(skips[-1], 2)
    x = two_convs(x, p)
    for skip in reversed(skips):
        x = two_convs(torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), skip], 1), p)
    return F.cross_entropy(F.conv2d(x, next(p)), labels)


def transformer(x: torch.Tensor, labels: torch.Tensor, p: Tensors, *, blocks: int, heads: int) -> torch.Tensor:
    for _ in range(blocks):
        q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in linear(layer_norm(x, p), p).chunk(3, -1))
        x = x + linear(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2), p)
        x = x + linear(F.gelu(linear(layer_norm(x, p), p), approximate="tanh"), p)
    return F.cross_entropy(linear(x, p).flatten(0, 1), labels)


def linear(x: torch.Tensor, p: Tensors) -> torch.Tensor:
    return F.linear(x, next(p).T, next(p))


def batch_norm(x: torch.Tensor, p: Tensors) -> torch.Tensor:
    return F.batch_norm(x, None, None, next(p).flatten(), next(p).flatten(), training=True, eps=EPSILON)


def layer_norm(x: torch.Tensor, p: Tensors) -> torch.Tensor:
    return F.layer_norm(x, x.shape[-1:], next(p), next(p), EPSILON)


def two_convs(x: torch.Tensor, p: Tensors) -> torch.Tensor:
    for _ in range(2):
        x = F.relu(F.conv2d(x, next(p), padding=1) + next(p))
    return x

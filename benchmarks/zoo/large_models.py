"""Large models defined with plain torch modules. Only their shapes matter, so nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class LargeModel:
    """``build`` makes the module; ``sample`` its input and labels (classes along axis 1 of what it returns)."""

    name: str
    build: Callable[[], nn.Module]
    sample: Callable[[], tuple[Tensor, Tensor]]


class _RootMeanSquare(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * self.scale


class _Attention(nn.Module):
    """Causal attention written out; ``rotary`` turns queries and keys by their place."""

    def __init__(self, width: int, heads: int, bias: bool, rotary: bool) -> None:
        super().__init__()
        self.heads, self.rotary = heads, rotary
        self.joint, self.out = nn.Linear(width, 3 * width, bias=bias), nn.Linear(width, width, bias=bias)

    def forward(self, x: Tensor, mask: Tensor, angles: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        query, key, value = (
            part.reshape(batch, tokens, self.heads, -1).transpose(1, 2) for part in self.joint(x).chunk(3, dim=-1)
        )
        if self.rotary:
            query, key = _turned(query, angles), _turned(key, angles)
        scores = query @ key.transpose(-1, -2) * (width // self.heads) ** -0.5
        mixed = torch.softmax(scores.masked_fill(mask, -1e9), dim=-1) @ value
        return self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))


def _turned(x: Tensor, angles: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    cosine, sine = torch.cos(angles), torch.sin(angles)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)


class _GatedLayer(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = _RootMeanSquare(width), _RootMeanSquare(width)
        self.attention = _Attention(width, heads, bias=False, rotary=True)
        self.gate, self.up = nn.Linear(width, hidden, bias=False), nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, mask: Tensor, angles: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x), mask, angles)
        normal = self.norm2(x)
        return x + self.down(functional.silu(self.gate(normal)) * self.up(normal))


class _PlainLayer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = _Attention(width, heads, bias=True, rotary=False)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, mask: Tensor, angles: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x), mask, angles)
        return x + self.down(functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class _Language(nn.Module):
    """Embedding, layers, a norm and the vocabulary's logits, tied to the embedding; ``places`` learns positions."""

    def __init__(self, layers: list[nn.Module], norm: nn.Module, vocabulary: int, width: int, places: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.place = nn.Embedding(places, width) if places else None
        self.layers, self.norm = nn.ModuleList(layers), norm
        self.depth = width // layers[0].attention.heads  # type: ignore[union-attr, operator]

    def forward(self, tokens: Tensor) -> Tensor:
        length = tokens.shape[1]
        at = torch.arange(length, device=tokens.device)
        mask = at[:, None] < at[None, :]
        angles = at[:, None] * torch.arange(self.depth // 2, device=tokens.device)[None, :] * 1e-3
        x = self.embedding(tokens)
        if self.place is not None:
            x = x + self.place(at)
        for layer in self.layers:
            x = layer(x, mask, angles)
        return functional.linear(self.norm(x), self.embedding.weight).flatten(0, 1)


def _decoder(layers: int = 32, width: int = 2048, heads: int = 16, hidden: int = 5504) -> nn.Module:
    blocks: list[nn.Module] = [_GatedLayer(width, heads, hidden) for _ in range(layers)]
    return _Language(blocks, _RootMeanSquare(width), 32_000, width, 0)


def _gpt2(layers: int = 48, width: int = 1600, heads: int = 25, tokens: int = 1024) -> nn.Module:
    blocks: list[nn.Module] = [_PlainLayer(width, heads) for _ in range(layers)]
    return _Language(blocks, nn.LayerNorm(width), 50_257, width, tokens)


def _text(vocabulary: int, batch: int, tokens: int) -> tuple[Tensor, Tensor]:
    return torch.randint(vocabulary, (batch, tokens)), torch.randint(vocabulary, (batch * tokens,))


def _norm(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, track_running_stats=False)


class _Bottleneck(nn.Module):
    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        after = 4 * width
        self.body = nn.Sequential(
            nn.Conv2d(before, width, 1, bias=False), _norm(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, stride, 1, bias=False), _norm(width), nn.ReLU(),
            nn.Conv2d(width, after, 1, bias=False), _norm(after),
        )  # fmt: skip
        self.project: nn.Module = nn.Identity()
        if before != after or stride != 1:
            self.project = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), _norm(after))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.project(x))


def _resnet152() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), _norm(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    before = 64
    for width, blocks in ((64, 3), (128, 8), (256, 36), (512, 3)):
        for block in range(blocks):
            layers.append(_Bottleneck(before, width, 2 if block == 0 and width > 64 else 1))
            before = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 1000))


class _UNet(nn.Module):
    """Two convolutions with batch norm a level; pooling down, transposed convolution up, skips by concatenation."""

    def __init__(self, channels: int = 64, depth: int = 4, classes: int = 21) -> None:
        super().__init__()
        widths = [channels * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(_two(a, b) for a, b in zip([3, *widths], widths, strict=False))
        self.grow = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in pairwise(widths))
        self.up = nn.ModuleList(_two(b, a) for a, b in pairwise(widths))
        self.head = nn.Conv2d(channels, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for level, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        skips.pop()
        for grow, block in zip(reversed(self.grow), reversed(self.up), strict=True):
            x = block(torch.cat([skips.pop(), grow(x)], dim=1))
        logits: Tensor = self.head(x)
        return logits


def _two(before: int, after: int) -> nn.Module:
    layers: list[nn.Module] = []
    for width in (before, after):
        layers += [nn.Conv2d(width, after, 3, padding=1, bias=False), _norm(after), nn.ReLU()]
    return nn.Sequential(*layers)


def _images(batch: int, side: int, classes: int, dense: bool) -> tuple[Tensor, Tensor]:
    shape = (batch, side, side) if dense else (batch,)
    return torch.randn(batch, 3, side, side), torch.randint(classes, shape)


LARGE: Mapping[str, LargeModel] = {
    model.name: model
    for model in (
        LargeModel("decoder-32", _decoder, lambda: _text(32_000, 2, 1024)),
        LargeModel("resnet-152", _resnet152, lambda: _images(64, 224, 1000, dense=False)),
        LargeModel("u-net", _UNet, lambda: _images(8, 256, 21, dense=True)),
        LargeModel("gpt2-48", _gpt2, lambda: _text(50_257, 1, 1024)),
    )
}


def training_step(model: nn.Module, names: list[str]) -> Callable[..., Any]:
    """A function of the parameters (``names``), the input and the labels that returns the loss and the gradients."""

    def step(parameters: list[Tensor], data: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        logits = torch.func.functional_call(model, dict(zip(names, parameters, strict=True)), (data,))
        loss = functional.cross_entropy(logits, labels)
        return (loss, *torch.autograd.grad(loss, parameters))

    return step

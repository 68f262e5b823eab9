"""Operators of random programs, over images (1, channels, height, width) and matrices.

Each function takes the draft and a tensor. It returns the tensor it computes, or None if it does not apply.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from tvm import te, tirx

    from tvm_memopt.cost_model.data.program_draft import Draft

Stage: TypeAlias = "Callable[[Draft, te.Tensor], te.Tensor | None]"
_UNARY = ("relu", "sigmoid", "tanh", "exp", "sqrt", "leaky_relu", "clip", "gelu", "hard_swish")


def _shape(x: te.Tensor) -> tuple[int, ...]:
    return tuple(int(extent) for extent in x.shape)


def _accumulator(draft: Draft) -> str:
    return "float32" if draft.is_float else "int32"


def _requantized(draft: Draft, x: te.Tensor) -> te.Tensor:
    """Requantise int32 sums to int8 by multiplier, shift and clip, as in quantised networks."""
    if draft.is_float:
        return x
    from tvm import te

    def scale(*index: tirx.Var) -> tirx.Expr:
        scaled = x(*index) * 77 >> 12
        return te.max(te.min(scaled, 127), -128).astype("int8")

    return te.compute(x.shape, scale, name="requantize")


def convolution(draft: Draft, x: te.Tensor) -> te.Tensor | None:
    """Dense convolution, 1x1 to 5x5, sometimes with a stride."""
    from tvm import topi

    _, channels, height, width = _shape(x)
    kernel = draft.choose((1, 1, 3, 3, 5))
    stride = draft.choose((1, 1, 1, 2))
    if min(height, width) < max(kernel, stride + 1):
        return None
    points = (height // stride) * (width // stride) * channels * kernel * kernel
    filters = draft.choose((4, 8, 16, 24, 32, 48, 64, 96, 128))
    while filters > 1 and points * filters > draft.budget:
        filters //= 2
    if points * filters > draft.budget:
        return None
    weight = draft.placeholder((filters, channels, kernel, kernel))
    out = topi.nn.conv2d_nchw(x, weight, stride, kernel // 2, 1, out_dtype=_accumulator(draft))
    return _requantized(draft, out)


def depthwise(draft: Draft, x: te.Tensor) -> te.Tensor | None:
    """Depthwise convolution."""
    from tvm import topi

    _, channels, height, width = _shape(x)
    kernel, stride = draft.choose((3, 3, 5)), draft.choose((1, 1, 2))
    if min(height, width) < kernel or prod(_shape(x)) * kernel * kernel > draft.budget:
        return None
    weight = draft.placeholder((channels, 1, kernel, kernel))
    out = topi.nn.depthwise_conv2d_nchw(x, weight, stride, kernel // 2, 1, out_dtype=_accumulator(draft))
    return _requantized(draft, out)


def pool(draft: Draft, x: te.Tensor) -> te.Tensor | None:
    """Maximum or average over a window."""
    from tvm import topi

    window, stride = draft.choose((2, 3)), draft.choose((1, 2, 2))
    if min(_shape(x)[2:]) < window + 1:
        return None
    kind = draft.choose(("max", "avg")) if draft.is_float else "max"
    return topi.nn.pool2d(x, [window] * 2, [stride] * 2, [1, 1], [window // 2] * 4, kind)


def squeeze_and_scale(_draft: Draft, x: te.Tensor) -> te.Tensor | None:
    """Mean over the image, a sigmoid, and the image scaled by it."""
    from tvm import topi

    return topi.multiply(x, topi.sigmoid(topi.nn.global_pool(x, "avg")))


def unary(draft: Draft, x: te.Tensor) -> te.Tensor | None:
    """An activation or another function of each element."""
    from tvm import te, topi

    name = draft.choose(_UNARY) if draft.is_float else "relu"
    if name == "leaky_relu":
        return topi.nn.leaky_relu(x, 0.1)
    if name == "clip":
        return topi.clip(x, 0.0, 6.0)
    if name == "gelu":
        return te.compute(x.shape, lambda *i: x(*i) * (0.5 + 0.5 * te.erf(x(*i) * 0.70710678)), name="gelu")
    if name == "hard_swish":
        six, zero = te.const(6.0, x.dtype), te.const(0.0, x.dtype)
        return te.compute(x.shape, lambda *i: x(*i) * te.max(te.min(x(*i) + 3.0, six), zero) / 6.0, name="hard_swish")
    if name == "sqrt":
        return topi.sqrt(topi.abs(x))
    return topi.nn.relu(x) if name == "relu" else getattr(topi, name)(x)


def binary(draft: Draft, x: te.Tensor) -> te.Tensor | None:
    """Sum, product, maximum or difference with another tensor of the same shape, or with a new input."""
    from tvm import topi

    name = draft.choose(("add", "add", "multiply", "maximum", "subtract"))
    other = draft.partner(x) if draft.chance(0.7) else None
    if other is None:  # never x itself: inlining a chain of x + x doubles it at each step
        other = draft.placeholder(_shape(x))
        if other.dtype != x.dtype:
            return None
    return getattr(topi, name)(x, other)


def bias(draft: Draft, x: te.Tensor) -> te.Tensor | None:
    """A scale or bias for each channel or column."""
    from tvm import topi

    shape = _shape(x)
    each = (1, shape[1], 1, 1) if len(shape) == 4 else (1, shape[1])
    return draft.choose((topi.add, topi.multiply))(x, draft.placeholder(each))


def concatenate(draft: Draft, x: te.Tensor) -> te.Tensor | None:
    """Concatenation of two tensors along channels or columns."""
    from tvm import topi

    other = draft.partner(x, axis=1)
    if other is None or prod(_shape(x)) + prod(_shape(other)) > draft.largest:
        return None
    return topi.concatenate([x, other], axis=1)


def pad(_draft: Draft, x: te.Tensor) -> te.Tensor | None:
    """Zero padding."""
    from tvm import topi

    before = [0, 0, 1, 1] if len(_shape(x)) == 4 else [1, 1]
    return topi.nn.pad(x, before, before)


def upsample(draft: Draft, x: te.Tensor) -> te.Tensor | None:
    """Nearest-neighbour upsampling by 2: each pixel four times."""
    from tvm import topi

    n, c, h, w = _shape(x)
    if 4 * n * c * h * w > draft.largest:
        return None
    return topi.nn.upsampling(x, 2, 2, "NCHW", "nearest_neighbor")


def crop(draft: Draft, x: te.Tensor) -> te.Tensor | None:
    """A crop of the outermost rows and columns, or every other row and column."""
    from tvm import topi

    shape = _shape(x)
    if min(shape[-2:]) < 6:
        return None
    step = draft.choose((1, 2))
    begin = [0] * (len(shape) - 2) + [1, 1]
    end = [*shape[:-2], shape[-2] - 1, shape[-1] - 1]
    return topi.strided_slice(x, begin, end, [1] * (len(shape) - 2) + [step, step])


def blur(_draft: Draft, x: te.Tensor) -> te.Tensor | None:
    """A separable three-tap stencil, along rows and then columns: two stages that profit from shared tiles."""
    from tvm import te

    shape = _shape(x)
    if min(shape[-2:]) < 8:
        return None
    tall, small = (*shape[:-1], shape[-1] - 2), (*shape[:-2], shape[-2] - 2, shape[-1] - 2)
    rows = te.compute(tall, lambda *i: x(*i) + x(*i[:-1], i[-1] + 1) + x(*i[:-1], i[-1] + 2), name="blur_x")
    return te.compute(
        small,
        lambda *i: rows(*i) + rows(*i[:-2], i[-2] + 1, i[-1]) + rows(*i[:-2], i[-2] + 2, i[-1]),
        name="blur_y",
    )


def transpose(draft: Draft, x: te.Tensor) -> te.Tensor | None:
    """A transpose of rows and columns, or of two image axes."""
    from tvm import topi

    axes = draft.choose(((0, 2, 1, 3), (0, 1, 3, 2), (0, 3, 2, 1))) if len(_shape(x)) == 4 else (1, 0)
    return topi.transpose(x, axes)


def flatten(draft: Draft, x: te.Tensor) -> te.Tensor | None:
    """The image as a matrix, with a row for each channel or for each pixel row of each channel."""
    from tvm import topi

    _, c, h, w = _shape(x)
    return topi.reshape(x, draft.choose(((c, h * w), (c * h, w))))


def matrix_product(draft: Draft, x: te.Tensor) -> te.Tensor | None:
    """A dense layer."""
    rows, inner = _shape(x)
    columns = draft.choose((8, 16, 32, 64, 96, 128, 256))
    while columns > 1 and rows * inner * columns > draft.budget:
        columns //= 2
    if rows * inner * columns > draft.budget:
        return None
    return _requantized(draft, _product(draft, x, draft.placeholder((columns, inner))))


def similarity(draft: Draft, x: te.Tensor) -> te.Tensor | None:
    """The product of a matrix with its own transpose, as in attention."""
    rows, inner = _shape(x)
    return _product(draft, x, x) if rows * rows * inner <= draft.budget and rows * rows <= draft.largest else None


def _product(draft: Draft, x: te.Tensor, y: te.Tensor) -> te.Tensor:
    from tvm import te

    (rows, inner), columns, kind = _shape(x), _shape(y)[0], _accumulator(draft)
    k = te.reduce_axis((0, inner), name="k")
    return te.compute(
        (rows, columns), lambda i, j: te.sum(x[i, k].astype(kind) * y[j, k].astype(kind), axis=k), name="product"
    )


def softmax(_draft: Draft, x: te.Tensor) -> te.Tensor | None:
    """Softmax over the columns or the channels."""
    from tvm import topi

    return topi.nn.softmax(x, axis=1)


def normalize(_draft: Draft, x: te.Tensor) -> te.Tensor | None:
    """Normalisation of each row or channel: minus its mean, divided by its standard deviation."""
    from tvm import te, topi

    axes = [2, 3] if len(_shape(x)) == 4 else [1]
    count = float(prod(_shape(x)[axis] for axis in axes))
    mean = topi.sum(x, axes, keepdims=True)
    centred = topi.subtract(x, topi.multiply(mean, te.const(1.0 / count, "float32")))
    variance = topi.sum(topi.multiply(centred, centred), axes, keepdims=True)
    return topi.multiply(centred, topi.rsqrt(topi.add(variance, te.const(1e-3, "float32"))))


def subtract_extreme(draft: Draft, x: te.Tensor) -> te.Tensor | None:
    """Each row minus its largest or smallest element."""
    from tvm import topi

    return topi.subtract(x, draft.choose((topi.max, topi.min))(x, [len(_shape(x)) - 1], keepdims=True))


_BOTH: tuple[Stage, ...] = (unary, unary, binary, binary, bias, concatenate, pad, crop, transpose)
_FLOAT: tuple[Stage, ...] = (softmax, normalize, subtract_extreme, blur, blur)
IMAGE: tuple[Stage, ...] = (convolution, convolution, convolution, depthwise, depthwise, pool, pool, upsample, *_BOTH)
MATRIX: tuple[Stage, ...] = (matrix_product, matrix_product, matrix_product, similarity, *_BOTH)
IMAGE_FLOAT: tuple[Stage, ...] = (*IMAGE, *_FLOAT, squeeze_and_scale, flatten)
MATRIX_FLOAT: tuple[Stage, ...] = (*MATRIX, *_FLOAT)


def stages_for(rank: int, is_float: bool) -> tuple[Stage, ...]:
    """Operators for tensors of this rank and kind. Likelier ones are repeated."""
    if rank == 4:
        return IMAGE_FLOAT if is_float else IMAGE
    return MATRIX_FLOAT if is_float else MATRIX

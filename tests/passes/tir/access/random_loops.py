"""Small kernels made at random: windows, strides, padding, reductions and broadcasts, in loops of any order."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import tvm
from tvm import s_tir, te, tirx, topi

from tvm_memopt.passes.tir.inline import inline_data_movement

_DTYPES = ("float32", "int8", "int16")


def random_kernel(seed: int) -> tirx.PrimFunc:
    """A kernel whose first parameter is the input and whose last one is the output."""
    choose = random.Random(seed)
    func = choose.choice(KINDS)(choose)
    if choose.random() < 0.6:
        func = inline_data_movement(func) or func
    return _rescheduled(func, choose) if choose.random() < 0.7 else func


def _rescheduled(func: tirx.PrimFunc, choose: random.Random) -> tirx.PrimFunc:
    """Loops reordered, split, unrolled, vectorised or run in parallel, as a tuner might."""
    schedule = s_tir.Schedule(tvm.IRModule({"main": func}))
    for block in schedule.get_child_blocks(schedule.get_sblock("root")):
        for change in (_reorder, _split, _annotate):
            try:
                change(schedule, block, choose)
            except (s_tir.ScheduleError, RuntimeError, ValueError):
                continue
    return schedule.mod["main"]


def _reorder(schedule: s_tir.Schedule, block: object, choose: random.Random) -> None:
    loops = list(schedule.get_loops(block))
    choose.shuffle(loops)
    if len(loops) > 1 and choose.random() < 0.5:
        schedule.reorder(*loops)


def _split(schedule: s_tir.Schedule, block: object, choose: random.Random) -> None:
    loops = list(schedule.get_loops(block))
    if loops and choose.random() < 0.5:
        outer, inner = schedule.split(choose.choice(loops), [None, choose.choice([2, 3, 4])])
        if choose.random() < 0.3:
            schedule.reorder(inner, outer)


def _annotate(schedule: s_tir.Schedule, block: object, choose: random.Random) -> None:
    loops = list(schedule.get_loops(block))
    kind = choose.choice(["none", "vectorize", "unroll", "fuse"])
    if kind == "vectorize":
        schedule.vectorize(loops[-1])
    elif kind == "unroll":
        schedule.unroll(choose.choice(loops))
    elif kind == "fuse" and len(loops) > 1:
        schedule.fuse(*loops[:2])


def _placeholder(choose: random.Random, shape: Sequence[int]) -> te.Tensor:
    return te.placeholder(tuple(shape), name="x", dtype=choose.choice(_DTYPES))


def _convolution(choose: random.Random) -> tirx.PrimFunc:
    channels, filters, height, width = (choose.randint(1, 3) for _ in range(4))
    kernel, stride, dilation = choose.randint(1, 3), choose.randint(1, 2), choose.randint(1, 2)
    padding = choose.randint(0, kernel - 1)
    reach = (kernel - 1) * dilation
    shape = {"H": height + reach, "W": width + 1 + reach}
    data_layout = choose.choice(["NCHW", "NHWC"])
    data = _placeholder(choose, [{"N": 1, "C": channels, **shape}[d] for d in data_layout])
    weights = {"NCHW": (filters, channels, kernel, kernel), "NHWC": (kernel, kernel, channels, filters)}[data_layout]
    weight = te.placeholder(weights, name="w", dtype=data.dtype)
    layout = {"NCHW": "OIHW", "NHWC": "HWIO"}[data_layout]
    out = topi.nn.conv(data, weight, stride, padding, dilation, 1, data_layout, layout, data.dtype)
    return te.create_prim_func([data, weight, out])


def _depthwise(choose: random.Random) -> tirx.PrimFunc:
    channels, height, width, kernel = (choose.randint(1, 4) for _ in range(4))
    data = _placeholder(choose, (1, channels, height + kernel, width + kernel))
    weight = te.placeholder((channels, 1, kernel, kernel), name="w", dtype=data.dtype)
    stride, padding = choose.randint(1, 2), choose.randint(0, kernel - 1)
    out = topi.nn.depthwise_conv2d_nchw(data, weight, stride, padding, 1, data.dtype)
    return te.create_prim_func([data, weight, out])


def _pool(choose: random.Random) -> tirx.PrimFunc:
    layout = choose.choice(["NCHW", "NHWC"])
    sizes = {"N": 1, "C": choose.randint(1, 3), "H": choose.randint(3, 6), "W": choose.randint(3, 6)}
    data = _placeholder(choose, [sizes[d] for d in layout])
    kernel, stride = choose.randint(1, 3), choose.randint(1, 3)
    padding = (choose.randint(0, kernel - 1),) * 4
    kind = choose.choice(["max", "avg"])
    window = (kernel, kernel), (stride, stride), (1, 1)
    return te.create_prim_func([data, topi.nn.pool2d(data, *window, padding, kind, layout=layout)])


def _affine(choose: random.Random) -> tirx.PrimFunc:
    """An output element as the sum of elements at random affine positions."""
    shape = [choose.randint(1, 4) for _ in range(choose.randint(1, 3))]
    reduced = [te.reduce_axis((0, choose.randint(1, 3))) for _ in range(choose.randint(0, 2))]
    steps = [choose.randint(-3, 5) for _ in (*shape, *reduced)]
    extents = [*shape, *(int(r.dom.extent) for r in reduced)]
    low = sum(min(0, s * (n - 1)) for s, n in zip(steps, extents, strict=True))
    high = sum(max(0, s * (n - 1)) for s, n in zip(steps, extents, strict=True))
    data = _placeholder(choose, (high - low + 1 + choose.randint(0, 3),))

    def element(*axes: tirx.Var) -> tirx.Expr:
        index = sum((s * a for s, a in zip(steps, (*axes, *(r.var for r in reduced)), strict=True)), -low)
        return te.sum(data[index], axis=reduced) if reduced else data[index]

    return te.create_prim_func([data, te.compute(tuple(shape), element, name="y")])


def _movement(choose: random.Random) -> tirx.PrimFunc:
    shape = [choose.randint(1, 4) for _ in range(3)]
    data = _placeholder(choose, shape)
    moves: list[Callable[[te.Tensor], te.Tensor]] = [
        lambda x: topi.transpose(x, choose.sample(range(3), 3)),
        lambda x: topi.nn.pad(x, [0, 1, 0], [1, 0, 2]),
        lambda x: topi.flip(x, axis=choose.randrange(3)),
        topi.nn.relu,
        lambda x: topi.concatenate([x, x], axis=choose.randrange(3)),
        lambda x: topi.repeat(x, 2, axis=choose.randrange(3)),
        lambda x: topi.strided_slice(x, [0, 0, 0], shape, [1, 1, 2]),
        lambda x: topi.sum(x, axis=choose.randrange(3), keepdims=True),
        lambda x: topi.broadcast_to(x, [2, *shape]),
        lambda x: topi.add(topi.max(x, axis=2, keepdims=True), x),
    ]
    return te.create_prim_func([data, choose.choice(moves)(data)])


KINDS = (_convolution, _depthwise, _pool, _affine, _affine, _movement)

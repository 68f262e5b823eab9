"""PrimFuncs for tests: fused chains made at random, and small kernels in which sharing memory would be wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tvm import te, tirx, topi
from tvm.script import tirx as T


@dataclass
class Chain:
    """A chain of computations under construction: the current value and the inputs so far."""

    choose: random.Random
    value: te.Tensor
    inputs: list[te.Tensor] = field(default_factory=list)

    @property
    def shape(self) -> list[int]:
        return [int(d) for d in self.value.shape]

    def new_input(self, shape: list[int]) -> te.Tensor:
        self.inputs.append(te.placeholder(shape, name=f"p{len(self.inputs)}", dtype=self.value.dtype))
        return self.inputs[-1]


def _normalise(chain: Chain) -> te.Tensor:
    _, rows, _ = chain.shape
    centred = topi.subtract(chain.value, chain.new_input([rows, 1]))
    return topi.add(topi.multiply(centred, chain.new_input([rows, 1])), chain.new_input([rows, 1]))


def _matmul(chain: Chain) -> te.Tensor:
    batch, _, columns = chain.shape
    return topi.nn.batch_matmul(chain.value, chain.new_input([batch, chain.choose.choice([4, 8]), columns]))


STAGES: dict[str, Callable[[Chain], te.Tensor]] = {
    "scale": lambda c: topi.multiply(c.value, c.new_input([c.shape[-1]])),
    "add": lambda c: topi.add(c.value, c.new_input(c.shape)),
    "subtract": lambda c: topi.subtract(c.value, c.new_input([c.shape[-2], 1])),
    "normalise": _normalise,
    "scale and add": lambda c: topi.add(topi.multiply(c.value, c.new_input(c.shape)), c.new_input(c.shape)),
    "relu": lambda c: topi.nn.relu(c.value),
    "exp": lambda c: topi.exp(topi.minimum(c.value, topi.full_like(c.value, 3.0))),
    "sum": lambda c: topi.add(topi.sum(c.value, axis=-1, keepdims=True), c.value),
    "transpose": lambda c: topi.transpose(c.value, (0, 2, 1)),
    "pad": lambda c: topi.nn.pad(c.value, [0, 0, 1], [0, 0, 1]),
    "softmax": lambda c: topi.nn.softmax(c.value),
    "matmul": _matmul,
    "concat": lambda c: topi.concatenate([c.value, c.value], axis=-1),
    "cast": lambda c: topi.cast(topi.cast(c.value, "float16"), "float32"),
}


def random_kernel(seed: int) -> tirx.PrimFunc:
    """A chain of 2 to 5 stages over a few hundred elements, some of them small enough for the stack."""
    choose = random.Random(seed)
    shape = [choose.choice([1, 1, 2]), choose.choice([4, 8, 16, 20]), choose.choice([4, 8, 10, 32])]
    first = te.placeholder(shape, name="x", dtype="float32")
    chain = Chain(choose, first, [first])
    for _ in range(choose.randint(2, 5)):
        chain.value = STAGES[choose.choice(sorted(STAGES))](chain)
    return te.create_prim_func([*chain.inputs, chain.value])


def conv_bias_relu(size: int = 12, channels: int = 4) -> tirx.PrimFunc:
    """A padded convolution with its bias and activation: a padded copy and two accumulators of scratch."""
    x = te.placeholder((1, channels, size, size), name="x", dtype="float32")
    weight = te.placeholder((channels, channels, 3, 3), name="w", dtype="float32")
    bias = te.placeholder((channels, 1, 1), name="b", dtype="float32")
    found = topi.nn.conv2d_nchw(x, weight, 1, 1, 1)
    return te.create_prim_func([x, weight, bias, topi.nn.relu(topi.add(found, bias))])


def batch_norm_chain(channels: int = 8, size: int = 8) -> tirx.PrimFunc:
    """(x - mean) * scale + shift, relu: four stages over one shape."""
    x = te.placeholder((1, channels, size, size), name="x", dtype="float32")
    mean, scale, shift = (te.placeholder((channels, 1, 1), name=n, dtype="float32") for n in ("m", "s", "t"))
    found = topi.nn.relu(topi.add(topi.multiply(topi.subtract(x, mean), scale), shift))
    return te.create_prim_func([x, mean, scale, shift, found])


def views_of_the_stack() -> tirx.PrimFunc:
    """Two scratch buffers on the stack, each reused several times by StorageRewrite, and an output of another type."""
    x = te.placeholder((1, 8, 16), name="x", dtype="float32")
    a, b, c = (te.placeholder((8, 1), name=n, dtype="float32") for n in "abc")
    d = te.placeholder((1, 16, 8), name="d", dtype="float32")
    moved = topi.transpose(topi.add(topi.multiply(topi.subtract(x, a), b), c), (0, 2, 1))
    return te.create_prim_func([x, a, b, c, d, topi.cast(topi.exp(topi.exp(topi.add(moved, d))), "float64")])


N = 512


@T.prim_func(s_tir=True)
def shifted(A: T.Buffer((N + 1,), "float32"), B: T.Buffer((N + 1,), "float32")):
    for i in range(N):
        B[i] = A[i + 1] + T.float32(1)


@T.prim_func(s_tir=True)
def shifted_upwards(A: T.Buffer((N + 1,), "float32"), B: T.Buffer((N + 1,), "float32")):
    for i in range(N):
        B[i + 1] = A[i] + T.float32(1)


@T.prim_func(s_tir=True)
def transposed(A: T.Buffer((16, 16), "float32"), B: T.Buffer((16, 16), "float32")):
    for i, j in T.grid(16, 16):
        B[i, j] = A[j, i]


@T.prim_func(s_tir=True)
def reread_by_a_reduction(A: T.Buffer((16, 16), "float32"), B: T.Buffer((16, 16), "float32")):
    for i, j, k in T.grid(16, 16, 16):
        if k == 0:
            B[i, j] = T.float32(0)
        B[i, j] = B[i, j] + A[i, k]


@T.prim_func(s_tir=True)
def broadcast(A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "float32")):
    for i in range(N):
        B[i] = A[0] + T.float32(1)


@T.prim_func(s_tir=True)
def read_after_the_store(A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "float32"), C: T.Buffer((N,), "float32")):
    for i in range(N):
        B[i] = A[i] + T.float32(1)
        C[i] = A[i] * T.float32(2)


@T.prim_func(s_tir=True)
def another_type(A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "int32")):
    for i in range(N):
        B[i] = T.cast(A[i], "int32")


@T.prim_func(s_tir=True)
def another_type_by_a_view(A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "float32")):
    halves = T.decl_buffer((2 * N,), "int16", data=A.data)
    for i in range(N):
        B[i] = T.cast(halves[i], "float32")


@T.prim_func(s_tir=True)
def another_place_by_a_view(A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "float32")):
    second = T.decl_buffer((N // 2,), data=A.data, elem_offset=N // 2)
    for i in range(N // 2):
        B[i] = second[i]


@T.prim_func(s_tir=True)
def read_in_a_later_statement(A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "float32"), C: T.Buffer((N,), "float32")):
    for i in range(N):
        B[i] = A[i] + T.float32(1)
    for i in range(N):
        C[i] = A[i] * B[i]


@T.prim_func(s_tir=True)
def through_an_address(A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "float32")):
    for i in range(N):
        B[i] = A[i]
    T.evaluate(T.call_extern("int32", "touch", T.address_of(B[0])))


@T.prim_func(s_tir=True)
def through_an_access_pointer(A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "float32")):
    T.evaluate(T.call_extern("int32", "touch", A.access_ptr("r"), B.access_ptr("w")))
    for i in range(N):
        B[i] = A[i]


@T.prim_func(s_tir=True)
def by_a_bound_index(A: T.Buffer((N,), "float32"), places: T.Buffer((N,), "int32"), B: T.Buffer((N,), "float32")):
    for i in range(N):
        place: T.let[T.int32] = places[i]
        B[i + place] = A[i + place] + T.float32(1)


@T.prim_func(s_tir=True)
def by_a_loaded_index(A: T.Buffer((N,), "float32"), places: T.Buffer((N,), "int32"), B: T.Buffer((N,), "float32")):
    for i in range(N):
        B[i + places[i]] = A[i + places[i]] + T.float32(1)


@T.prim_func(s_tir=True)
def written_by_several_iterations(A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "float32")):
    for i, j in T.grid(4, N):
        B[j] = A[j] + T.cast(i, "float32")


@T.prim_func(s_tir=True)
def written_twice(A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "float32")):
    for i in range(N):
        B[i] = T.float32(0)
        B[i] = A[i] + T.float32(1)


@T.prim_func(s_tir=True)
def in_parallel_with_a_shift(A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "float32")):
    for i in T.parallel(N):
        B[i] = A[(i + 1) % N]


@T.prim_func(s_tir=True)
def vectorised_with_a_shift(A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "float32")):
    for i in range(N // 8 - 1):
        for j in T.vectorized(8):
            B[i * 8 + j] = A[i * 8 + j + 1]


@T.prim_func(s_tir=True)
def in_a_while_loop(A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "float32")):
    count = T.alloc_buffer((1,), "int32")
    count[0] = 0
    while count[0] < N:
        B[count[0]] = A[count[0]]
        count[0] = count[0] + 1


NEVER_IN_PLACE = [
    shifted_upwards,
    transposed,
    reread_by_a_reduction,
    broadcast,
    another_type,
    another_type_by_a_view,
    through_an_address,
    through_an_access_pointer,
    by_a_bound_index,
    by_a_loaded_index,
    written_by_several_iterations,
    written_twice,
    in_parallel_with_a_shift,
    in_a_while_loop,
]


@T.prim_func(s_tir=True)
def in_parallel(A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "float32")):
    for i in T.parallel(N):
        B[i] = T.exp(A[i])


@T.prim_func(s_tir=True)
def vectorised(A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "float32")):
    for i in range(N // 8):
        for j in T.vectorized(8):
            B[i * 8 + j] = A[i * 8 + j] * A[i * 8 + j]


@T.prim_func(s_tir=True)
def by_tiles(A: T.Buffer((16, 32), "float32"), B: T.Buffer((16, 32), "float32")):
    for i, j, k in T.grid(4, 32, 4):
        B[i * 4 + k, j] = A[i * 4 + k, j] + T.float32(1)


@T.prim_func(s_tir=True)
def under_a_condition(A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "float32")):
    for i in range(N + 64):
        if i < N:
            B[i] = A[i] + T.float32(1)


AHEAD_OF_THE_STORES = [shifted, another_place_by_a_view, vectorised_with_a_shift]
ALWAYS_IN_PLACE = [in_parallel, vectorised, by_tiles, under_a_condition]


@T.prim_func(s_tir=True)
def scratch_written_again(A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "float32")):
    S = T.alloc_buffer((N,))
    for i in range(N):
        S[i] = A[i]
    for i in range(N):
        S[N - 1 - i] = A[i] * T.float32(2)
        B[i] = S[i]


@T.prim_func(s_tir=True)
def scratch_read_shifted(A: T.Buffer((N + 1,), "float32"), B: T.Buffer((N + 1,), "float32")):
    S = T.alloc_buffer((N + 1,))
    for i in range(N + 1):
        S[i] = A[i]
    for i in range(N):
        B[i] = S[i + 1]


@T.prim_func(s_tir=True)
def scratch_read_later(A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "float32"), C: T.Buffer((N,), "int32")):
    S = T.alloc_buffer((N,))
    for i in range(N):
        S[i] = A[i]
    for i in range(N):
        B[i] = T.float32(1)
    for i in range(N):
        C[i] = T.cast(S[i], "int32")


@T.prim_func(s_tir=True)
def scratch_of_another_type(A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "float32")):
    S = T.alloc_buffer((N,), "int32")
    for i in range(N):
        S[i] = T.cast(A[i], "int32")
    for i in range(N):
        B[i] = T.cast(S[i], "float32")


@T.prim_func(s_tir=True)
def scratch_larger_than_the_output(A: T.Buffer((N,), "float32"), B: T.Buffer((N // 2,), "float32")):
    S = T.alloc_buffer((N,))
    for i in range(N):
        S[i] = A[i]
    for i in range(N // 2):
        B[i] = S[i]


@T.prim_func(s_tir=True)
def scratch_read_by_both_outputs(
    A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "float32"), C: T.Buffer((N,), "float32")
):
    S = T.alloc_buffer((N,))
    for i in range(N):
        S[i] = A[i] + T.float32(1)
    for i in range(N):
        B[i] = S[i] * T.float32(2)
        C[i] = S[i] * T.float32(3)


@T.prim_func(s_tir=True)
def scratch_through_an_address(A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "float32")):
    S = T.alloc_buffer((N,))
    for i in range(N):
        S[i] = A[i]
    T.evaluate(T.call_extern("int32", "touch", T.address_of(S[0])))
    for i in range(N):
        B[i] = S[i]


NEVER_SHARED = [
    scratch_written_again,
    scratch_read_shifted,
    scratch_read_later,
    scratch_of_another_type,
    scratch_larger_than_the_output,
    scratch_read_by_both_outputs,
    scratch_through_an_address,
]


def name_of(func: tirx.PrimFunc) -> str:
    return next(name for name, value in globals().items() if value is func)

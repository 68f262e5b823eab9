"""Small Relax modules and a plain arena planner to build them with, independent of the package's own passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tvm
from tvm import relax
from tvm.relax.backend.cpu_generic import pipeline as cpu
from tvm.relax.expr_functor import PyExprMutator, mutator

TARGET = "llvm"
ALIGNMENT = 64


@dataclass(frozen=True)
class Lifetime:
    """A tensor's place in the arena and the kernel calls from and to which it is held."""

    first: int
    last: int
    nbytes: int
    offset: int

    @property
    def dead_after(self) -> tuple[int, int, int]:
        return (self.last, self.offset, self.nbytes)


@dataclass(frozen=True)
class ArenaBuild:
    path: Path
    arena_nbytes: int
    lifetimes: tuple[Lifetime, ...]

    @property
    def dead_after(self) -> list[tuple[int, int, int]]:
        return [lifetime.dead_after for lifetime in self.lifetimes]


def dense_type(shape: tuple[int, ...], dtype: str = "float32") -> relax.TensorType:
    return relax.TensorType(shape, dtype)


def one_function(inputs: list[relax.Var], body: Callable[[relax.BlockBuilder], relax.Expr]) -> tvm.IRModule:
    builder = relax.BlockBuilder()
    with builder.function("main", inputs):
        with builder.dataflow():
            result = builder.emit_output(body(builder))
        builder.emit_func_output(result)
    return builder.get()


def conv_chain(size: int = 16) -> tvm.IRModule:
    """Three padded convolutions with a skip and two returned tensors: (1,8,n,n) to (8,n*n) and (1,8)."""
    random = np.random.default_rng(7)
    weights = [relax.const(random.standard_normal((8, 8, 3, 3)).astype("float32")) for _ in range(3)]
    x = relax.Var("x", dense_type((1, 8, size, size)))

    def body(builder: relax.BlockBuilder) -> relax.Expr:
        a = builder.emit(relax.op.nn.relu(relax.op.nn.conv2d(x, weights[0], padding=1)))
        b = builder.emit(relax.op.nn.relu(relax.op.nn.conv2d(a, weights[1], padding=1)))
        c = builder.emit(relax.op.add(a, b))
        d = builder.emit(relax.op.nn.conv2d(c, weights[2], padding=1))
        flat = builder.emit(relax.op.reshape(d, (8, size * size)))
        return relax.Tuple([builder.emit(relax.op.nn.softmax(flat)), builder.emit(relax.op.sum(d, axis=[2, 3]))])

    return one_function([x], body)


def attention_block(tokens: int = 16, width: int = 32) -> tvm.IRModule:
    """Normalisation, one attention head, a residual and a feed-forward part: (tokens,width) to the same."""
    random = np.random.default_rng(8)
    x = relax.Var("x", dense_type((tokens, width)))

    def weight(*shape: int) -> relax.Expr:
        return relax.const(random.standard_normal(shape).astype("float32") / np.float32(shape[0] ** 0.5))

    def body(builder: relax.BlockBuilder) -> relax.Expr:
        one, zero = relax.const(np.ones(width, "float32")), relax.const(np.zeros(width, "float32"))
        normal = builder.emit(relax.op.nn.layer_norm(x, one, zero, axes=[-1]))
        q, k, v = (builder.emit(relax.op.matmul(normal, weight(width, width))) for _ in range(3))
        scores = builder.emit(relax.op.matmul(q, relax.op.permute_dims(k)))
        mixed = builder.emit(relax.op.matmul(relax.op.nn.softmax(scores), v))
        residual = builder.emit(relax.op.add(x, mixed))
        hidden = builder.emit(relax.op.nn.gelu(relax.op.matmul(residual, weight(width, 2 * width))))
        return builder.emit(relax.op.add(residual, relax.op.matmul(hidden, weight(2 * width, width))))

    return one_function([x], body)


def build_stock(module: tvm.IRModule, path: Path, mode: str = "bytecode") -> Path:
    """TVM's own fusing build."""
    pipeline = relax.get_default_pipeline(tvm.target.Target(TARGET))
    relax.build(module, tvm.target.Target(TARGET), relax_pipeline=pipeline, exec_mode=mode).export_library(str(path))
    return path


def build_with_arena(
    module: tvm.IRModule, path: Path, mode: str = "bytecode", *, cut: int | None = None, caller_owned: bool = False
) -> ArenaBuild:
    """The same kernels in one arena; ``cut`` ends the life of the n-th tensor of several calls in its first call."""
    plan = _ArenaPlan(cut, caller_owned)
    relax.build(module, tvm.target.Target(TARGET), relax_pipeline=_pipeline(plan), exec_mode=mode).export_library(
        str(path)
    )
    return ArenaBuild(path, plan.arena_nbytes, plan.lifetimes)


def _pipeline(plan: _ArenaPlan) -> tvm.transform.Pass:
    @tvm.transform.module_pass(opt_level=0)
    def run(module: tvm.IRModule, _context: tvm.transform.PassContext) -> tvm.IRModule:
        target = tvm.target.Target.current()
        before = cpu.library_dispatch_passes(target) + cpu.legalize_passes(target) + cpu.dataflow_lower_passes(target)
        after = [p for p in cpu.finalize_passes(target) if p.info.name != "StaticPlanBlockMemory"]
        return tvm.transform.Sequential(after)(plan.apply(tvm.transform.Sequential(before)(module)))

    return run


class _ArenaPlan:
    def __init__(self, cut: int | None, caller_owned: bool) -> None:
        self.cut, self.caller_owned = cut, caller_owned
        self.arena_nbytes, self.lifetimes = 0, ()

    def apply(self, module: tvm.IRModule) -> tvm.IRModule:
        name = module.get_global_var("main")
        spans = _spans(module["main"])
        if self.cut is not None:
            long = [var for var, (first, last, _) in spans.items() if last > first]
            first, _, nbytes = spans[long[self.cut]]
            spans[long[self.cut]] = (first, first, nbytes)
        placed = _first_fit(spans)
        self.lifetimes = tuple(placed.values())
        self.arena_nbytes = max(life.offset + life.nbytes for life in self.lifetimes)
        emitter = _Emit(module, placed, self.arena_nbytes, self.caller_owned)
        emitter.builder_.update_func(name, emitter.rewritten(module["main"]))
        return relax.transform.Normalize()(emitter.builder_.get())


def _spans(function: relax.Function) -> dict[relax.Var, tuple[int, int, int]]:
    """(first call, last call, nbytes) of every allocation that is not returned."""
    roots: dict[relax.Var, set[relax.Var]] = {}
    spans: dict[relax.Var, tuple[int, int, int]] = {}
    kernels = 0

    def roots_of(expr: relax.Expr) -> set[relax.Var]:
        if isinstance(expr, relax.Tuple):
            return set().union(*map(roots_of, expr.fields))
        return roots.get(expr, set()) if isinstance(expr, relax.Var) else set()

    for binding in (binding for block in function.body.blocks for binding in block.bindings):
        value = binding.value
        roots[binding.var] = roots_of(value)
        if not isinstance(value, relax.Call):
            continue
        operator = getattr(value.op, "name", "") if isinstance(value.op, tvm.ir.Op) else ""
        if operator == "relax.builtin.alloc_tensor":
            roots[binding.var] = {binding.var}
            spans[binding.var] = (-1, -1, _nbytes(value))
        elif operator:
            roots[binding.var] = roots_of(value.args[0]) if value.args else set()
        else:
            for root in set().union(*map(roots_of, value.args)):
                first, _, nbytes = spans[root]
                spans[root] = (kernels if first < 0 else first, kernels, nbytes)
            kernels += 1
    for returned in roots_of(function.body.body):
        del spans[returned]
    return spans


def _nbytes(allocation: relax.Call) -> int:
    item = tvm.DataType(str(allocation.args[1].value))
    return int(np.prod([int(d) for d in allocation.args[0].values], dtype="int64")) * item.bits * item.lanes // 8


def _first_fit(spans: dict[relax.Var, tuple[int, int, int]]) -> dict[relax.Var, Lifetime]:
    placed: dict[relax.Var, Lifetime] = {}
    for var, (first, last, nbytes) in sorted(spans.items(), key=lambda item: -item[1][2]):
        offset = 0
        for other in sorted(placed.values(), key=lambda life: life.offset):
            if other.first <= last and first <= other.last and other.offset < offset + nbytes:
                offset = max(offset, -(-(other.offset + other.nbytes) // ALIGNMENT) * ALIGNMENT)
        placed[var] = Lifetime(first, last, nbytes, offset)
    return placed


@mutator
class _Emit(PyExprMutator):
    def __init__(self, module: tvm.IRModule, placed: dict, nbytes: int, caller_owned: bool) -> None:
        super().__init__(module)
        self.placed, self.nbytes = placed, nbytes
        self.arena = relax.Var("arena", dense_type((nbytes,), "uint8")) if caller_owned else None
        self.caller_owned = caller_owned

    def rewritten(self, function: relax.Function) -> relax.Function:
        if not self.caller_owned:
            return self.visit_expr(function)
        changed = self.visit_expr(
            relax.Function(
                [*function.params, self.arena], function.body, function.ret_ty, function.is_pure, function.attrs
            )
        )
        self.arena = changed.params[-1]
        return changed

    def visit_var_binding_(self, binding: relax.VarBinding) -> None:
        place = self.placed.get(binding.var)
        if place is None:
            super().visit_var_binding_(binding)
            return
        shape, dtype, device = binding.value.args[:3]
        if self.caller_owned:
            view = relax.op.memory.view(self.arena, shape, dtype, relax.prim_value(place.offset))
        else:
            if self.arena is None:
                size = relax.ShapeExpr([self.nbytes])
                self.arena = self.builder_.emit(relax.op.memory.alloc_storage(size, 0, "global", "uint8"), "arena")
            view = relax.op.memory.alloc_tensor(self.arena, place.offset, shape, dtype, device)
        cut = self.builder_.emit(relax.op.memory.ensure_zero_offset(self.builder_.emit(view)))
        self.set_var_remap(binding.var, cut)

"""Relax function → static program: what each variable is, and where it lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import tvm
from tvm import relax, tirx
from tvm.ir import Var

from tvm_memopt.errors import MemoptError
from tvm_memopt.export.program import KernelCall, Memory, StaticProgram, Value, View
from tvm_memopt.graph import plan_from_json
from tvm_memopt.passes.relax.apply import ARENA_PARAMETER
from tvm_memopt.passes.relax.documents import PLAN_ATTR

_Storage: TypeAlias = "tuple[Memory, int]"
_Known: TypeAlias = "View | _Storage | list[Any] | int | None"
_NAMES_OF_ENDS = frozenset({"relax.memory.kill_storage", "relax.memory.kill_tensor"})


def read_program(mod: tvm.IRModule, function: str = "main") -> StaticProgram:
    """The static program of a function whose kernels write into allocated buffers.

    ``mod``: a module that mo.optimize returned, or one after CallTIRRewrite or StaticPlanBlockMemory. Raises
    MemoptError that names what a static program cannot do: control flow, shapes that are known only at run time, and
    calls of library functions.
    """
    found = mod[function]
    if not isinstance(found, relax.Function) or not isinstance(found.body, relax.SeqExpr):
        raise MemoptError(f"{function!r} is not a Relax function with a sequence of bindings")
    return _Reader(mod, function, found).read()


class _Reader:
    """The state of the reading of one function."""

    def __init__(self, mod: tvm.IRModule, name: str, function: relax.Function) -> None:
        self.mod, self.name, self.function = mod, name, function
        self.known: dict[Var, _Known] = {}
        self.calls: list[KernelCall] = []
        self.constants: list[np.ndarray] = []
        self.constant_of: dict[tuple[str, tuple[int, ...], bytes], int] = {}
        self.storages: list[int] = []
        self.inputs: list[Value] = []
        attrs = function.attrs
        planned = attrs is not None and PLAN_ATTR in attrs
        self.arena_nbytes = plan_from_json(str(attrs[PLAN_ATTR])).arena_nbytes if planned else 0
        self.awaits_arena = self.arena_nbytes > 0
        self.operators: dict[str, Callable[[Sequence[relax.Expr]], _Known]] = {
            "relax.memory.alloc_storage": lambda args: self._storage(self._integer(args[0].values[0])),
            "relax.memory.alloc_tensor": self._tensor,
            "relax.builtin.alloc_tensor": self._own_tensor,
            "relax.memory.view": self._view,
            "relax.memory.ensure_zero_offset": lambda args: self._value(args[0]),
            "relax.reshape": lambda args: self._reshaped(args[0], args[1]),
        }

    def read(self) -> StaticProgram:
        for parameter in self.function.params:
            self._parameter(parameter)
        for block in self.function.body.blocks:
            for binding in block.bindings:
                self._binding(binding)
        outputs = tuple(self._outputs(self.function.body.body))
        if self.awaits_arena:
            raise self._fail("its arena of the plan is never allocated")
        return StaticProgram(
            self.name, tuple(self.inputs), outputs, tuple(self.calls), tuple(self.constants), tuple(self.storages),
            self.arena_nbytes,
        )  # fmt: skip

    def _fail(self, reason: str) -> MemoptError:
        return MemoptError(
            f"function {self.name!r} cannot be a static program: {reason}; a shared library for TVM's virtual machine "
            "can do it (-o MODULE.so)"
        )

    def _parameter(self, parameter: Var) -> None:
        if not isinstance(parameter.ty, relax.TensorType) or not isinstance(parameter.ty.shape, relax.ShapeExpr):
            raise self._fail(f"input {parameter.name} is not a tensor of known shape")
        if parameter.name == ARENA_PARAMETER:
            self.awaits_arena = False
            self.known[parameter] = View("arena", 0, 0, (self.arena_nbytes,), "uint8")
            return
        shape = self._shape(parameter.ty.shape)
        value = Value(parameter.name, shape, str(parameter.ty.dtype))
        self.known[parameter] = View("input", len(self.inputs), 0, shape, value.dtype)
        self.inputs.append(value)

    def _binding(self, binding: relax.Binding) -> None:
        if isinstance(binding, relax.MatchCast):
            self._match(binding)
        elif isinstance(binding.value, relax.Call):
            self.known[binding.var] = self._call(binding.value)
        elif isinstance(binding.value, relax.If):
            raise self._fail("it has control flow (If)")
        else:
            self.known[binding.var] = self._value(binding.value)

    def _match(self, binding: relax.MatchCast) -> None:
        value = self._value(binding.value)
        if not isinstance(value, View) or not isinstance(binding.ty, relax.TensorType):
            raise self._fail("it checks a value that is not a tensor (match_cast)")
        if self._shape(binding.ty.shape) != value.shape:
            raise self._fail(f"a tensor of shape {value.shape} is taken for another one (match_cast)")
        self.known[binding.var] = value

    def _value(self, expr: relax.Expr) -> _Known:
        if isinstance(expr, Var):
            return self.known[expr]
        if isinstance(expr, relax.Tuple):
            return [self._value(field) for field in expr.fields]
        if isinstance(expr, relax.TupleGetItem):
            fields = self._value(expr.tuple_value)
            if isinstance(fields, list):
                chosen: _Known = fields[expr.index]
                return chosen
        if isinstance(expr, tirx.IntImm):
            return int(expr.value)
        if isinstance(expr, tvm.ir.GenericConst) and hasattr(expr.value, "numpy"):
            return self._constant(expr.value.numpy())
        raise self._fail(f"it uses a {type(expr).__name__} ({_short(expr)})")

    def _constant(self, array: np.ndarray) -> View:
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self.constant_of:
            self.constant_of[key] = len(self.constants)
            self.constants.append(array)
        return View("constant", self.constant_of[key], 0, tuple(array.shape), str(array.dtype))

    def _call(self, call: relax.Call) -> _Known:
        if isinstance(call.op, tvm.ir.GlobalVar):
            self._kernel_call(call)
            return None
        name = str(call.op.name) if isinstance(call.op, tvm.ir.Op) else _short(call.op)
        if name in _NAMES_OF_ENDS:
            return None
        if name not in self.operators:
            kind = "the library function" if isinstance(call.op, relax.ExternFunc) else "the operator"
            raise self._fail(f"it calls {kind} {name}")
        return self.operators[name](call.args)

    def _kernel_call(self, call: relax.Call) -> None:
        kernel = call.op.name_hint
        if not isinstance(self.mod[call.op], tirx.PrimFunc):
            raise self._fail(f"it calls the function {kernel}, which is not a kernel")
        arguments = [self._value(argument) for argument in call.args]
        if not all(isinstance(argument, View | int) for argument in arguments):
            raise self._fail(f"kernel {kernel} takes other arguments than tensors and integers")
        self.calls.append(KernelCall(kernel, tuple(arguments)))  # type: ignore[arg-type]

    def _storage(self, nbytes: int) -> _Storage:
        if self.awaits_arena:  # the arena is the first storage that a planned function allocates
            if nbytes != self.arena_nbytes:
                raise self._fail(f"its arena has {nbytes} bytes, and that of its plan {self.arena_nbytes}")
            self.awaits_arena = False
            return "arena", 0
        self.storages.append(nbytes)
        return "storage", len(self.storages) - 1

    def _tensor(self, args: Sequence[relax.Expr]) -> View:
        storage = self._value(args[0])
        if not isinstance(storage, tuple):
            raise self._fail(f"{_short(args[0])} is not a storage")
        memory, index = storage
        return View(memory, index, self._integer(args[1]), self._shape(args[2]), str(args[3].value))

    def _own_tensor(self, args: Sequence[relax.Expr]) -> View:
        tensor = View("storage", len(self.storages), 0, self._shape(args[0]), str(args[1].value))
        self.storages.append(tensor.nbytes)
        return tensor

    def _view(self, args: Sequence[relax.Expr]) -> View:
        base = self._value(args[0])
        assert isinstance(base, View)
        shape = base.shape if _absent(args[1]) else self._shape(args[1])
        dtype = base.dtype if _absent(args[2]) else str(args[2].value)
        offset = 0 if _absent(args[3]) else self._integer(args[3])
        return View(base.memory, base.index, base.offset + offset, shape, dtype)

    def _reshaped(self, tensor: relax.Expr, shape: relax.Expr) -> View:
        base = self._value(tensor)
        assert isinstance(base, View)
        return View(base.memory, base.index, base.offset, self._shape(shape), base.dtype)

    def _shape(self, expr: relax.Expr) -> tuple[int, ...]:
        if not isinstance(expr, relax.ShapeExpr):
            raise self._fail(f"the shape {_short(expr)} is known only at run time")
        return tuple(self._integer(extent) for extent in expr.values)

    def _integer(self, expr: relax.Expr) -> int:
        if not isinstance(expr, tirx.IntImm):
            raise self._fail(f"the number {_short(expr)} is known only at run time")
        return int(expr.value)

    def _outputs(self, expr: relax.Expr) -> list[View]:
        def flat(value: _Known) -> list[View]:
            if isinstance(value, list):
                return [leaf for member in value for leaf in flat(member)]
            if not isinstance(value, View):
                raise self._fail("it returns something else than tensors")
            return [value]

        return flat(self._value(expr))


def _absent(expr: relax.Expr) -> bool:
    """Whether an optional argument is left out."""
    return expr is None or (isinstance(expr, tvm.ir.Call) and getattr(expr.op, "name", "") == "relax.null_value")


def _short(expr: object) -> str:
    return " ".join(str(expr).split())[:80]

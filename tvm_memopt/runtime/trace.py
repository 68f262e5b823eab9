"""Trace of the virtual machine's memory use through its instrument hook (bytecode mode only)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, TypeGuard

from tvm_memopt.runtime.execute import leaves

if TYPE_CHECKING:
    import tvm

RUNTIME_PREFIXES = ("vm.builtin.", "runtime.")  # R.memory.view is runtime.TVMTensorCreateView
CONTINUE = 0


@dataclass(slots=True)
class Block:
    """A storage of the virtual machine, allocated before kernel call ``made_before``.

    Its address is known once its first tensor is created.
    """

    handle: tvm.runtime.Object
    nbytes: int
    made_before: int
    address: int | None = None


@dataclass(slots=True)
class Buffer:
    """A tensor created by the virtual machine: the location of its bytes, and the first and last kernel using it."""

    address: int
    nbytes: int
    first: int | None = None
    last: int | None = None

    @property
    def end(self) -> int:
        """One past the last byte."""
        return self.address + self.nbytes


@dataclass(frozen=True, slots=True)
class Conflict:
    """Kernel call ``kernel`` overwrote ``nbytes`` of buffer ``overwritten`` before the buffer's last use.

    Buffer numbers count the virtual machine's tensors in order of creation.
    """

    kernel: int
    overwritten: int
    writer: int
    nbytes: int

    def __str__(self) -> str:
        what = f"{self.nbytes} live bytes of buffer {self.overwritten}"
        return f"kernel call {self.kernel} put buffer {self.writer} over {what}"


@dataclass
class Recorder:
    """The instrument. It tracks storages, tensors and their views, and counts kernel calls from 0.

    It keeps every storage alive as long as it exists, so that no two storages share an address. ``after_kernel`` is
    called with the number of the kernel call that has just returned, and ``on_block`` with the number of a storage
    whose address has become known.
    """

    after_kernel: Callable[[int], None] | None = None
    on_block: Callable[[int], None] | None = None
    kernels: list[str] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    buffers: list[Buffer] = field(default_factory=list)
    _owner: dict[int, int] = field(default_factory=dict)
    _adopted: tvm.runtime.Tensor | None = None

    def __call__(self, callee: object, name: str, before: bool, result: Any, *args: Any) -> int:
        """Called by the virtual machine before and after each call instruction."""
        if before:
            return CONTINUE
        if name == "vm.builtin.alloc_storage":
            self.blocks.append(Block(result, storage_nbytes(args[1], args[3]), len(self.kernels)))
        elif name == "vm.builtin.alloc_tensor":
            self._define(result)
            self._locate(args[0], result.data_ptr() - int(args[1]))
        elif name.startswith(RUNTIME_PREFIXES):
            self._view(result, args)
        elif not is_relax_function(callee):
            self._view(result, args)
            self._kernel(name, args)
        return CONTINUE

    def _define(self, tensor: tvm.runtime.Tensor) -> None:
        self._owner[handle_of(tensor)] = len(self.buffers)
        self.buffers.append(Buffer(tensor.data_ptr(), nbytes_of(tensor)))

    def _locate(self, storage: tvm.runtime.Object, address: int) -> None:
        for number, block in enumerate(self.blocks):
            if block.address is None and block.handle.same_as(storage):
                block.address = address
                if self.on_block:
                    self.on_block(number)

    def adopt(self, arena: tvm.runtime.Tensor) -> None:
        """Treat a tensor of the caller as a storage. Views of it then count as tensors of the virtual machine."""
        self.blocks.append(Block(arena, nbytes_of(arena), len(self.kernels), arena.data_ptr()))
        self._adopted = arena
        if self.on_block:
            self.on_block(len(self.blocks) - 1)

    def _view(self, result: object, args: tuple[object, ...]) -> None:
        """Record a view, which shares its source's buffer. Views of inputs and constants have none and are ignored."""
        if not is_tensor(result):
            return
        source = next((tensor for tensor in filter(is_tensor, args) if _inside(result, tensor)), None)
        owner = self._owner.get(handle_of(result if source is None else source))
        if owner is not None and _inside_buffer(result, self.buffers[owner]):
            self._owner[handle_of(result)] = owner
        elif source is not None and self._adopted is not None and _inside(result, self._adopted):
            self._define(result)
        else:
            self._owner.pop(handle_of(result), None)

    def _kernel(self, name: str, args: tuple[object, ...]) -> None:
        number = len(self.kernels)
        self.kernels.append(name)
        for tensor in filter(is_tensor, args):
            owner = self._owner.get(handle_of(tensor))
            if owner is not None:
                buffer = self.buffers[owner]
                buffer.first = number if buffer.first is None else buffer.first
                buffer.last = number
        if self.after_kernel:
            self.after_kernel(number)

    def keep_returned(self, value: object) -> None:
        """Extend the lifetime of buffers that hold a returned value past the last kernel."""
        for leaf in filter(is_tensor, leaves(value)):
            owner = self._owner.get(handle_of(leaf))
            if owner is not None:
                self.buffers[owner].last = len(self.kernels)


def find_conflicts(buffers: list[Buffer]) -> tuple[Conflict, ...]:
    """Find buffers that a kernel overwrote although a later kernel or the caller still used them.

    Two buffers that are live together only in one kernel, as its input and output, are an in-place pair, not a
    conflict.
    """
    used = sorted((b.first, i) for i, b in enumerate(buffers) if b.first is not None)
    found = []
    for position, (first, i) in enumerate(used):
        for later, j in used[position + 1 :]:
            last = buffers[i].last
            if last is None or later > last:
                break
            shared = min(buffers[i].end, buffers[j].end) - max(buffers[i].address, buffers[j].address)
            if shared > 0 and (later < last or first == later):
                found.append(Conflict(kernel=later, overwritten=i, writer=j, nbytes=shared))
    return tuple(found)


def storage_nbytes(shape: Iterable[int], dtype: tvm.DataType) -> int:
    """Bytes that ``vm.builtin.alloc_storage`` requests."""
    return prod(int(d) for d in shape) * _item_bits(dtype) // 8


def nbytes_of(tensor: tvm.runtime.Tensor) -> int:
    """Bytes of a dense tensor. Sub-byte types are packed."""
    return (prod(int(d) for d in tensor.shape) * _item_bits(tensor.dtype) + 7) // 8


def _item_bits(dtype: tvm.DataType) -> int:
    import tvm

    data_type = tvm.DataType(str(dtype))
    return int(data_type.bits) * int(data_type.lanes)


def is_tensor(value: object) -> TypeGuard[tvm.runtime.Tensor]:
    """Whether a value of the virtual machine is a tensor."""
    return hasattr(value, "data_ptr")


def is_relax_function(callee: object) -> bool:
    """Whether a call enters another Relax function, whose kernels are counted instead."""
    return "Closure" in type(callee).__name__


def handle_of(tensor: tvm.runtime.Tensor) -> int:
    """The identity of the underlying tensor object, the same for all its Python wrappers."""
    return int(tensor.__chandle__())


def _inside(tensor: tvm.runtime.Tensor, outer: tvm.runtime.Tensor) -> bool:
    return _inside_buffer(tensor, Buffer(outer.data_ptr(), nbytes_of(outer)))


def _inside_buffer(tensor: tvm.runtime.Tensor, buffer: Buffer) -> bool:
    address = int(tensor.data_ptr())
    return buffer.address <= address and address + nbytes_of(tensor) <= buffer.end

"""Choose the calls of each kernel so that the tensors between kernels are narrow.

TVM's fusion ends a kernel with the dequantisation that its reader needs, so that float tensors lie between kernels.
Here each kernel is grown backwards from its result. A kernel takes in the conversions in front of it, which several
kernels may repeat, and one call that reduces (a convolution, a pooling, a matrix product) together with everything
after it. It has one result, which it makes where that result was made before, so kernels cannot depend on each other
in a cycle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import tvm
import tvm_ffi
from tvm import relax, tirx
from tvm.ir import Var

from tvm_memopt.passes.relax.narrow.element_types import NARROW_BITS, element_bits, is_narrower

_ELEMENTWISE, _BROADCAST, _INJECTIVE, _FUSABLE = 0, 1, 2, 4  # TVM's operator pattern kinds
_MOST_CALLS = 64


@dataclass
class Cluster:
    """Bindings that become one kernel: ``members`` by position, of which ``result`` is the last.

    ``anchor``: the member that is not element-wise, if any.
    """

    result: int
    members: set[int] = field(default_factory=set)
    anchor: int | None = None


@dataclass(frozen=True)
class Block:
    """The bindings of a dataflow block. ``patterns``: TVM's pattern kind of each call_tir, None for other bindings."""

    bindings: Sequence[relax.Binding]
    patterns: Sequence[int | None]
    position: Mapping[Var, int]
    readers: Mapping[Var, Sequence[int]]
    convertible: Sequence[bool]
    joins: bool = True

    def arguments(self, index: int) -> list[relax.Expr]:
        """Tensor arguments of a call_tir."""
        return list(self.bindings[index].value.args[1].fields)

    def made(self, expr: relax.Expr) -> int | None:
        """Position of the call_tir in this block that makes ``expr``, or None."""
        index = self.position.get(expr) if isinstance(expr, Var) else None
        return index if index is not None and self.patterns[index] is not None else None


def read_block(block: relax.DataflowBlock, mod: tvm.IRModule, *, joins: bool = True) -> Block:
    """The bindings of ``block``, whose kernels are in ``mod``. ``joins``: an addition joins the convolution before."""
    bindings = list(block.bindings)
    readers: dict[Var, list[int]] = {}
    for index, binding in enumerate(bindings):
        for variable in _variables(binding.value if isinstance(binding, relax.VarBinding) else binding):
            readers.setdefault(variable, []).append(index)
    kernels = [_kernel(binding, mod) for binding in bindings]
    return Block(
        bindings,
        [None if kernel is None else _pattern(kernel) for kernel in kernels],
        {binding.var: index for index, binding in enumerate(bindings)},
        readers,
        [kernel is not None and _is_conversion(kernel) for kernel in kernels],
        joins,
    )


def _variables(node: object) -> set[Var]:
    found: set[Var] = set()
    tvm_ffi.structural_walk(node, (Var, found.add))
    return found


def _kernel(binding: relax.Binding, mod: tvm.IRModule) -> tirx.PrimFunc | None:
    """The PrimFunc that ``binding`` calls with tensors of static shape only, and whose one result it is."""
    call = binding.value if isinstance(binding, relax.VarBinding) else None
    if not isinstance(call, relax.Call) or not isinstance(call.op, tvm.ir.Op) or call.op.name != "relax.call_tir":
        return None
    if len(call.args) > 2 or not all(_is_static(e) for e in (binding.var, *call.args[1].fields)):
        return None
    return mod[call.args[0]]


def _is_static(expr: relax.Expr) -> bool:
    found = expr.ty
    if not isinstance(found, relax.TensorType) or not isinstance(found.shape, relax.ShapeExpr):
        return False
    return all(isinstance(extent, tirx.IntImm) for extent in found.shape.values)


def _pattern(kernel: tirx.PrimFunc) -> int:
    attrs = kernel.attrs
    return int(attrs["op_pattern"]) if attrs is not None and "op_pattern" in attrs else 8


def _is_conversion(kernel: tirx.PrimFunc) -> bool:
    """Whether each element takes a few additions and products: cheap enough to repeat at each read."""
    costly: list[object] = []

    def on_call(call: tvm.ir.Call) -> None:
        name = getattr(call.op, "name", "")
        if name.startswith(("tirx.", "relax.")) and not name.endswith(("if_then_else", "likely")):
            costly.append(call)

    tvm_ffi.structural_walk(kernel.body, ((tvm.ir.Call, on_call), (tirx.Div, costly.append)))
    return _pattern(kernel) <= _INJECTIVE and not costly


def clusters(block: Block, required: Iterable[Var]) -> dict[int, Cluster | None]:
    """The kernels of ``block``, by the position of the binding that keeps their result.

    None stands for a binding that is kept as it is. ``required``: variables that are read outside the block. Bindings
    at other positions are no longer needed.
    """
    needed, found = set(required), dict[int, Cluster | None]()
    for index in reversed(range(len(block.bindings))):
        binding = block.bindings[index]
        if binding.var not in needed and block.patterns[index] is not None:
            continue
        cluster = _grow(block, index) if block.patterns[index] is not None else None
        if cluster is not None and not _is_worthwhile(block, cluster):
            cluster = None
        found[index] = cluster
        members = {index} if cluster is None else cluster.members
        for member in members:
            value = block.bindings[member].value
            needed |= {v for v in _variables(value) if block.position.get(v, -1) not in members}
    return found


def _grow(block: Block, result: int) -> Cluster | None:
    """The kernel whose result is at position ``result``, or None if its call joins no others."""
    pattern = block.patterns[result]
    if pattern is None or pattern > _FUSABLE:
        return None
    cluster = Cluster(result, {result}, None if pattern <= _INJECTIVE else result)
    waiting = [result]
    while waiting and len(cluster.members) < _MOST_CALLS:
        index = waiting.pop()
        for argument in block.arguments(index):
            made = block.made(argument)
            if made is None or made in cluster.members:
                continue
            if _joins(block, cluster, index, made):
                cluster.members.add(made)
                waiting.append(made)
                if (block.patterns[made] or 0) > _INJECTIVE:
                    cluster.anchor = made
            elif (before := _kernel_before(block, cluster, made)) is not None:
                cluster.members |= before.members
                cluster.anchor = before.anchor
    return cluster


def _joins(block: Block, cluster: Cluster, reader: int, made: int) -> bool:
    """Whether the call at ``made`` becomes part of ``cluster``, in which the call at ``reader`` reads its result."""
    pattern = block.patterns[made]
    if pattern is None or pattern > _FUSABLE:
        return False
    variable = block.bindings[made].var
    before_anchor = cluster.anchor is not None and _feeds(block, cluster, reader)
    if before_anchor:
        return block.convertible[made] and _widens(block, made)
    alone = set(block.readers.get(variable, ())) <= cluster.members and isinstance(variable, relax.DataflowVar)
    if _is_narrow_edge(block, made):
        return alone and pattern <= _BROADCAST and _is_unary(block, reader)
    if pattern <= _INJECTIVE:
        return alone or (block.convertible[made] and _widens(block, made))
    return alone and cluster.anchor is None and _keeps_shape(block, cluster, made)


def _kernel_before(block: Block, cluster: Cluster, made: int) -> Cluster | None:
    """The kernel that makes the narrow tensor at ``made``, if all of ``cluster`` can be computed at its end.

    The addition of a residual joins the convolution before it, and may then overwrite the other operand.
    """
    variable = block.bindings[made].var
    alone = set(block.readers.get(variable, ())) <= cluster.members and isinstance(variable, relax.DataflowVar)
    if not block.joins or not alone or cluster.anchor is not None or not _is_narrow_edge(block, made):
        return None
    before = _grow(block, made)
    if before is None or before.anchor is None or not _ends_in_order(block, cluster, before, made):
        return None
    return before


def _ends_in_order(block: Block, cluster: Cluster, before: Cluster, made: int) -> bool:
    """Whether everything between the anchor of ``before`` and the result of ``cluster`` works element by element."""
    assert before.anchor is not None
    both = Cluster(cluster.result, cluster.members | before.members, before.anchor)
    return made != before.anchor and _keeps_shape(block, both, before.anchor)


def _feeds(block: Block, cluster: Cluster, index: int) -> bool:
    """Whether the anchor of ``cluster`` reads, directly or not, what the call at ``index`` makes, or is that call."""
    if index == cluster.anchor:
        return True
    readers = (r for r in block.readers.get(block.bindings[index].var, ()) if r in cluster.members)
    return any(_feeds(block, cluster, reader) for reader in readers)


def _widens(block: Block, made: int) -> bool:
    """Whether the call at ``made`` makes its result, by conversions alone, of narrower tensors and small constants."""
    result, arguments = block.bindings[made].var, block.arguments(made)
    sources = [a for a in arguments if not (isinstance(a, tvm.ir.GenericConst) and not is_narrower(a, result))]
    return bool(sources) and all(_comes_from_narrow(block, source, result) for source in sources)


def _comes_from_narrow(block: Block, source: relax.Expr, result: Var) -> bool:
    if is_narrower(source, result) or _is_scalar(source):
        return True
    made = block.made(source)
    return made is not None and block.convertible[made] and _widens(block, made)


def _is_scalar(tensor: relax.Expr) -> bool:
    return isinstance(tensor.ty, relax.TensorType) and not tensor.ty.shape.values


def _is_narrow_edge(block: Block, made: int) -> bool:
    """Whether the tensor made at ``made`` is narrow enough to lie between kernels."""
    variable = block.bindings[made].var
    bits = element_bits(variable)
    return bits is not None and bits <= NARROW_BITS


def _is_unary(block: Block, index: int) -> bool:
    """Whether the call reads one tensor, element by element, and keeps its element type."""
    tensors = [a for a in block.arguments(index) if not isinstance(a, tvm.ir.GenericConst)]
    result = block.bindings[index].var
    same = len(tensors) == 1 and element_bits(tensors[0]) == element_bits(result)
    return same and (block.patterns[index] or 0) == _ELEMENTWISE


def _keeps_shape(block: Block, cluster: Cluster, made: int) -> bool:
    """Whether all calls after the one at ``made`` work element by element on tensors of its shape."""
    shape = block.bindings[made].var.ty.shape
    later = [i for i in cluster.members if _reaches(block, cluster, made, i)]
    return all(
        (block.patterns[i] or 0) <= _BROADCAST and tvm_ffi.structural_equal(block.bindings[i].var.ty.shape, shape)
        for i in later
    )


def _reaches(block: Block, cluster: Cluster, source: int, target: int) -> bool:
    readers = [r for r in block.readers.get(block.bindings[source].var, ()) if r in cluster.members]
    return any(reader == target or _reaches(block, cluster, reader, target) for reader in readers)


def _is_worthwhile(block: Block, cluster: Cluster) -> bool:
    """Whether the kernel has a narrow tensor outside and a wider one inside."""
    if len(cluster.members) < 2:
        return False
    inside = [block.bindings[i].var for i in cluster.members if i != cluster.result]
    outside = [block.bindings[cluster.result].var]
    outside += [a for i in cluster.members for a in block.arguments(i) if block.made(a) not in cluster.members]
    outside = [tensor for tensor in outside if not _is_scalar(tensor)]
    return any(is_narrower(tensor, other) for tensor in outside for other in inside)

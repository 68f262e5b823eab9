"""Cut a module's kernels at narrow tensors: each chosen group of calls becomes one primitive function."""

from __future__ import annotations

from collections.abc import Iterable

import tvm
from tvm import relax
from tvm.ir import Var

from tvm_memopt.passes.relax.narrow.clusters import Block, Cluster, clusters, read_block

NAME_PREFIX = "narrow_"
"""Begins the name of each kernel made here. FuseTIR keeps names, but no attributes."""
_LONGEST_NAME = 80


def cut_at_narrow_tensors(*, joins: bool = True) -> tvm.transform.Pass:
    """A module pass that groups the calls of each function into primitive functions between narrow tensors.

    Runs after AnnotateTIROpPattern and before FuseOps, which groups the calls that are left.
    """

    @tvm.transform.module_pass(opt_level=0, name="CutAtNarrowTensors")
    def run(mod: tvm.IRModule, _context: tvm.transform.PassContext) -> tvm.IRModule:
        rewriter = _Rewriter(mod, joins)
        for variable, function in mod.functions_items():
            if isinstance(function, relax.Function) and not _is_primitive(function):
                rewriter.rewrite(variable, function)
        return relax.transform.Normalize()(rewriter.builder.get())

    return run


def _is_primitive(function: relax.Function) -> bool:
    return function.attrs is not None and "Primitive" in function.attrs


class _Rewriter:
    def __init__(self, mod: tvm.IRModule, joins: bool) -> None:
        self.mod, self.joins = mod, joins
        self.builder = relax.BlockBuilder(mod)

    def rewrite(self, variable: tvm.ir.GlobalVar, function: relax.Function) -> None:
        """Rewrite each dataflow block of ``function``."""
        blocks = [self._block(b) if isinstance(b, relax.DataflowBlock) else b for b in function.body.blocks]
        body = relax.SeqExpr(blocks, function.body.body)
        changed = relax.Function(function.params, body, function.ret_ty, function.is_pure, function.attrs)
        self.builder.update_func(variable, changed)

    def _block(self, dataflow: relax.DataflowBlock) -> relax.DataflowBlock:
        block = read_block(dataflow, self.mod, joins=self.joins)
        kept = clusters(block, (b.var for b in block.bindings if not isinstance(b.var, relax.DataflowVar)))
        bindings = []
        for index in sorted(kept):
            cluster, binding = kept[index], block.bindings[index]
            if cluster is not None:
                binding = relax.VarBinding(binding.var, self._call(block, cluster))
            bindings.append(binding)
        return relax.DataflowBlock(bindings)

    def _call(self, block: Block, cluster: Cluster) -> relax.Call:
        """A call of a new primitive function that holds the calls of ``cluster``."""
        arguments: list[relax.Expr] = []
        parameters: list[Var] = []
        inner: dict[Var, relax.Expr] = {}

        def value_of(argument: relax.Expr) -> relax.Expr:
            if isinstance(argument, Var) and argument in inner:
                return inner[argument]
            if isinstance(argument, tvm.ir.GenericConst) and not argument.ty.shape.values:
                return argument
            position = next((i for i, known in enumerate(arguments) if known.same_as(argument)), None)
            if position is None:
                position = len(arguments)
                arguments.append(argument)
                parameters.append(relax.Var(f"p{position}", argument.ty))
            return parameters[position]

        bindings = []
        for index in sorted(cluster.members):
            binding, call = block.bindings[index], block.bindings[index].value
            tensors = [value_of(argument) for argument in block.arguments(index)]
            variable = relax.DataflowVar(binding.var.name, binding.var.ty)
            value = relax.Call(call.op, [call.args[0], relax.Tuple(tensors)], call.attrs, call.ty_args)
            bindings.append(relax.VarBinding(variable, value))
            inner[binding.var] = variable
        result = relax.Var("result", block.bindings[cluster.result].var.ty)
        bindings.append(relax.VarBinding(result, inner[block.bindings[cluster.result].var]))
        body = relax.SeqExpr([relax.DataflowBlock(bindings)], result)
        function = relax.Function(parameters, body, result.ty).with_attr("Primitive", 1)
        callees = [block.bindings[i].value.args[0].name_hint for i in sorted(cluster.members)]
        variable = self.builder.add_func(function, _name(callees))
        return relax.Call(variable, arguments)


def _name(callees: Iterable[str]) -> str:
    words = dict.fromkeys(name.rstrip("0123456789") for name in callees)
    return (NAME_PREFIX + "_".join(words))[:_LONGEST_NAME]

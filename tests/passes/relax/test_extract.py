from __future__ import annotations

import numpy as np
import tvm
from tvm import relax
from tvm.relax import op
from tvm.script import ir as I
from tvm.script import relax as R

from tests.passes.relax import networks
from tests.passes.relax.running import arena_tensors, extracted, one_function, tensor


def single(shape, body):
    x = tensor("x", shape)
    return one_function([x], lambda b: body(b, x))


def by_name(graph, name):
    return next(t for t in graph.tensors if t.name == name)


def op_named(graph, part):
    return next(o for o in graph.ops if part in o.name)


def test_what_is_planned_is_what_runs():
    found = extracted(networks.residual_network())
    assert [o.name for o in found.graph.ops] == [o.name for o in found.operations]
    kernels = [o for o in found.operations if o.kind == "kernel"]
    assert {o.callee for o in kernels} == set(found.kernels)
    assert all("fused" in o.name or o.name in found.kernels for o in kernels)
    assert found.graph.alignment == 64


def test_a_reshaped_tensor_shares_its_memory_with_the_original():
    def body(b, x):
        product = b.emit(op.matmul(x, x))
        flat = b.emit(op.reshape(product, (4096,)))
        return op.matmul(b.emit(op.reshape(b.emit(op.nn.softmax(flat)), (64, 64))), x)

    graph = extracted(single((64, 64), body)).graph
    views = [i for i, t in enumerate(graph.tensors) if t.alias_of is not None]
    assert [graph.tensors[i].nbytes for i in views] == [4 * 4096] * 2
    assert [graph.root[i] for i in views] == [graph.ops[0].outputs[0], op_named(graph, "softmax").outputs[0]]
    reader = graph.ops.index(op_named(graph, "softmax"))
    assert graph.reads[reader] == (graph.ops[0].outputs[0],)


def test_two_views_in_a_row_are_two_tensors_over_one_root():
    @I.ir_module
    class Views:
        @R.function
        def main(x: R.Tensor((64, 64), "float32")) -> R.Tensor((64,), "float32"):
            y = R.exp(x)
            flat = R.memory.view(y, R.shape([4096]), R.dtype("float32"), R.prim_value(0))
            rows = R.memory.view(flat, R.shape([32, 128]), R.dtype("float32"), R.prim_value(0))
            return R.sum(R.reshape(rows, (64, 64)), axis=[0])

    graph = extracted(Views).graph
    chained = [t for t in graph.tensors if t.alias_of is not None and graph.tensors[t.alias_of].alias_of is not None]
    assert chained
    assert len({graph.root[graph.tensors.index(t)] for t in graph.tensors if t.alias_of is not None}) == 1


def test_parts_of_a_split_live_and_die_apart():
    def body(b, x):
        parts = b.emit(op.split(x, 2, axis=0))
        first, second = (b.emit(relax.TupleGetItem(parts, i)) for i in range(2))
        early = b.emit(op.matmul(first, b.emit(op.permute_dims(first))))
        return op.matmul(early, second)

    graph = extracted(single((64, 32), body)).graph
    outputs = op_named(graph, "split").outputs
    assert len(outputs) == 2
    readers = [graph.readers[t] for t in outputs]
    assert set(readers[0]) != set(readers[1])
    assert all(graph.tensors[t].nbytes == 32 * 32 * 4 for t in outputs)


def test_inputs_constants_and_weights_are_outside_the_arena():
    weight = relax.const(np.ones((64, 64), "float32"))
    graph = extracted(
        single((64, 64), lambda b, x: op.nn.relu(b.emit(op.matmul(b.emit(op.matmul(x, weight)), x))))
    ).graph
    kinds = {t.kind: t for t in graph.tensors}
    assert (kinds["input"].name, kinds["input"].arena) == ("x", False)
    assert (kinds["weight"].nbytes, kinds["weight"].arena) == (64 * 64 * 4, False)


def test_parameters_past_num_input_are_weights():
    x, w = tensor("x", (8, 8)), tensor("w", (8, 8))
    mod = one_function([x, w], lambda b: op.matmul(x, w))
    mod["main"] = mod["main"].with_attr("num_input", 1)
    graph = extracted(mod).graph
    assert [t.kind for t in graph.tensors[:2]] == ["input", "weight"]


def test_returned_tensors_and_what_they_view_stay_outside_the_arena():
    x = tensor("x", (64, 64))

    def body(b):
        hidden = b.emit(op.exp(x))
        kept = b.emit(op.matmul(hidden, x))
        inner = b.emit(op.reshape(kept, (4096,)))
        return relax.Tuple([kept, b.emit(op.reshape(b.emit(op.add(inner, inner)), (64, 64)))])

    graph = extracted(one_function([x], body)).graph
    assert not any(graph.planned[graph.root[t]] for t in graph.outputs)
    assert arena_tensors(graph) == {op_named(graph, "exp").name}


@I.ir_module
class Apart:
    """Outside a dataflow block nothing is fused."""

    @R.function
    def main(x: R.Tensor((64, 64), "float32")) -> R.Tensor((32, 64), "float32"):
        product = R.matmul(x, x)
        grown = R.exp(product)
        turned = R.permute_dims(grown)
        parts = R.split(turned, 2, axis=0)
        return R.matmul(parts[0], x)


def test_an_output_that_no_one_reads_is_planned_all_the_same():
    graph = extracted(Apart).graph
    _, unused = op_named(graph, "split").outputs
    assert graph.readers[unused] == ()
    assert graph.planned[unused]


def test_an_element_wise_op_offers_its_input_and_a_transposition_does_not():
    graph = extracted(Apart).graph
    product, grown = op_named(graph, "matmul").outputs[0], op_named(graph, "exp").outputs[0]
    assert op_named(graph, "exp").inplace == ((product, grown),)
    assert op_named(graph, "transpose").inplace == ()


def test_an_input_that_is_passed_twice_is_not_overwritten():
    @I.ir_module
    class Twice:
        @R.function
        def main(x: R.Tensor((64, 64), "float32")) -> R.Tensor((64, 64), "float32"):
            y = R.matmul(x, x)
            flat = R.memory.view(y, R.shape([4096]), R.dtype("float32"), R.prim_value(0))
            again = R.memory.view(flat, R.shape([64, 64]), R.dtype("float32"), R.prim_value(0))
            z = R.add(y, again)
            return R.matmul(z, x)

    graph = extracted(Twice).graph
    assert op_named(graph, "add").inplace == ()


def test_a_part_of_a_tensor_is_not_overwritten():
    @I.ir_module
    class Part:
        @R.function
        def main(x: R.Tensor((64, 64), "float32")) -> R.Tensor((32, 64), "float32"):
            y = R.add(x, x)
            half = R.memory.view(y, R.shape([32, 64]), R.dtype("float32"), R.prim_value(8192))
            moved = R.memory.ensure_zero_offset(half)
            z = R.exp(moved)
            return R.matmul(z, x)

    assert op_named(extracted(Part).graph, "exp").inplace == ()


def test_inputs_of_the_function_are_never_overwritten():
    graph = extracted(single((64, 64), lambda b, x: op.exp(x))).graph
    assert graph.ops[0].inplace == ()


def test_in_place_can_be_switched_off():
    assert any(o.inplace for o in extracted(Apart).graph.ops)
    assert not any(o.inplace for o in extracted(Apart, inplace=False).graph.ops)


def test_workspace_is_that_of_the_chosen_form():
    mod = single((1, 4, 12, 12), lambda b, x: op.nn.conv2d(x, networks.constant(4, 4, 3, 3), padding=1))
    folded, own = extracted(mod), extracted(mod, fold_data_movement="never")
    assert op_named(folded.graph, "conv").workspace == 0
    assert op_named(own.graph, "conv").workspace == 4 * 4 * 14 * 14


def test_costs_are_positive_for_kernels_and_nothing_for_views():
    found = extracted(networks.branches_and_joins())
    for made, operation in zip(found.graph.ops, found.operations, strict=True):
        assert (made.cost > 0) == (operation.kind == "kernel")


def test_a_returned_input_and_a_returned_constant_are_outputs_of_the_graph():
    x = tensor("x", (2,))
    number = relax.const(np.array([1, 2], "float32"))
    graph = extracted(one_function([x], lambda b: relax.Tuple([x, number, b.emit(op.add(x, number))]))).graph
    assert [graph.tensors[t].kind for t in graph.outputs] == ["input", "weight", "activation"]


def test_a_tensor_that_is_returned_twice_is_one_output():
    def body(b, x):
        y = b.emit(op.exp(x))
        return relax.Tuple([y, y])

    assert len(extracted(single((4,), body)).graph.outputs) == 1


def test_the_graph_of_the_public_face_is_this_graph():
    import tvm_memopt as mo

    mod = networks.transformer_block()
    assert mo.extract(mod, "llvm") == extracted(mod, overlap="always").graph
    assert isinstance(mod, tvm.IRModule)

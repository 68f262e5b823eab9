import pytest

pytest.importorskip("tvm", reason="programs are TVM's modules")

import tvm
import tvm_ffi
from tvm import relax

from tvm_memopt.cost_model.data.programs import FEWEST_STAGES, MOST_STAGES, block_count, model_tasks, random_task
from tvm_memopt.cost_model.measure.builds import host_target
from tvm_memopt.errors import MemoptError

SOME = range(40)


def test_the_same_seed_and_index_give_the_same_program():
    for index in range(8):
        first, second = random_task(3, index), random_task(3, index)
        assert tvm_ffi.structural_equal(first.mod, second.mod)
        assert first.name == second.name


def test_programs_of_other_numbers_differ():
    assert len({tvm_ffi.structural_hash(random_task(3, index).mod) for index in SOME}) == len(SOME)
    assert tvm_ffi.structural_hash(random_task(3, 0).mod) != tvm_ffi.structural_hash(random_task(4, 0).mod)


def test_programs_have_3_to_30_stages_and_a_third_of_them_6_or_more():
    tasks = [random_task(3, index) for index in SOME]
    assert all(FEWEST_STAGES <= task.stages <= MOST_STAGES for task in tasks)
    assert all(task.stages == block_count(task.mod) for task in tasks)
    assert sum(task.stages >= 6 for task in tasks) >= len(tasks) / 3


def test_programs_are_schedulable_and_some_are_quantized():
    kinds = set()
    for index in SOME:
        mod = random_task(3, index).mod
        tvm.s_tir.Schedule(mod)
        kinds.add(str(mod["main"].params[0].ty.dtype))
    assert kinds == {"float32", "int8"}


def _model(layers):
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((1, 8, 8, 8), "float32"))
    weight = relax.Var("weight", relax.TensorType((8, 8, 3, 3), "float32"))
    with builder.function("main", [x, weight]):
        with builder.dataflow():
            out = x
            for _ in range(layers):
                out = builder.emit(relax.op.nn.relu(relax.op.nn.conv2d(out, weight, padding=1)))
            out = builder.emit_output(out)
        builder.emit_func_output(out)
    return builder.get()


def test_a_model_gives_each_distinct_kernel_once_with_its_weight():
    (task,) = model_tasks(_model(3), host_target(4), "net")
    assert (task.weight, task.origin) == (3, "net")
    assert task.name.startswith("0_")
    assert task.stages == block_count(task.mod) >= 2


def test_a_model_without_kernels_is_an_error():
    with pytest.raises(MemoptError, match="net: has no kernels to tune"):
        model_tasks(_model(0), host_target(4), "net")

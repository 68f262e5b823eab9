import pytest

pytest.importorskip("tvm", reason="devices serve MetaSchedule")

from tvm.s_tir import meta_schedule as ms

from tests.cost_model.programs_by_hand import matmul
from tvm_memopt.cost_model.measure.builds import host_target
from tvm_memopt.cost_model.measure.devices import device_type, local_device
from tvm_memopt.cost_model.measure.sampling import sample
from tvm_memopt.cost_model.measure.timing import Timing

TARGET = host_target(4)
TIMING = Timing(repeats=2, min_repeat_seconds=1e-4)


def measured(device, count=2, mod=None, seed=1):
    mod = mod or matmul()
    candidates = sample(mod, TARGET, "default", count, seed, ms.database.MemoryDatabase())
    built = device.builder.build([ms.builder.BuilderInput(c.sch.mod, TARGET) for c in candidates])
    assert [result.error_msg for result in built] == [None] * count
    pairs = zip(built, candidates, strict=True)
    inputs = [ms.runner.RunnerInput(result.artifact_path, device_type(TARGET), c.args_info) for result, c in pairs]
    return [future.result() for future in device.runner.run(inputs)]


def with_packed_weight():
    """A product whose second matrix a schedule packs first."""
    from tvm import IRModule, te, topi

    a, b = te.placeholder((32, 32), name="a"), te.placeholder((32, 32), name="b")
    return IRModule({"main": te.create_prim_func([a, b, topi.nn.matmul(a, b)])})


def test_a_plain_tune_measures_every_candidate(tmp_path):
    pytest.importorskip("psutil", reason="MetaSchedule asks it for the number of cores")
    with local_device(1, 60, TIMING) as device:
        database = ms.tune_tir(
            matmul(), TARGET, str(tmp_path), max_trials_global=4, num_trials_per_iter=4, cost_model="random",
            builder=device.builder, runner=device.runner, strategy="replay-trace", seed=1,
        )  # fmt: skip
    records = database.get_all_tuning_records()
    assert len(records) == 4
    assert all(float(second) < 1 for record in records for second in record.run_secs)


def test_a_kernel_whose_weight_is_packed_first_is_timed_with_the_packed_weight():
    with local_device(1, 60, TIMING) as device:
        results = measured(device, 4, with_packed_weight(), seed=0)
    assert [result.error_msg for result in results] == [None] * 4


def test_the_whole_of_tvms_intrinsics_is_never_imported():
    import sys

    assert not hasattr(sys.modules["tvm.s_tir.tensor_intrin"], "cuda")


def test_a_candidate_that_breaks_its_process_is_an_error_and_the_next_is_measured():
    with local_device(1, 60, TIMING) as device:
        (future,) = device.runner.run([_broken(device)])
        broken, (sound,) = future.result(), measured(device, 1)
    assert broken.run_secs is None
    assert broken.error_msg
    assert sound.error_msg is None


def _broken(device):
    import tvm
    from tvm.script import tirx as T

    @T.prim_func(s_tir=True)
    def main(x: T.Buffer((4,), "float32")):
        for i in range(4):
            with T.sblock("b"):
                v = T.axis.spatial(4, i)
                x[v] = T.call_extern("float32", "no_such_function_anywhere", x[v])

    mod = tvm.IRModule({"main": main})
    (built,) = device.builder.build([ms.builder.BuilderInput(mod, TARGET)])
    return ms.runner.RunnerInput(built.artifact_path, device_type(TARGET), ms.arg_info.ArgInfo.from_entry_func(mod))

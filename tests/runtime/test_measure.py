import subprocess

import numpy as np
import pytest
import tvm
from tvm import relax, te

from tvm_memopt.errors import MemoptError
from tvm_memopt.runtime.child import _failure
from tvm_memopt.runtime.interposer import Counter, Event
from tvm_memopt.runtime.measure import Storage, measure_memory, summarise

from .arena_modules import TARGET, build_with_arena, conv_chain, dense_type

RETURNED = 8 * 256 * 4 + 8 * 4
WORKSPACE_REQUESTED = 8 * 18 * 18 * 4 + 8 * 16 * 16 * 4  # padded input and convolution of one fused kernel
WORKSPACE_POOLED = 3 * 4096 + 2 * 4096


@pytest.fixture(params=["bytecode", "compiled"])
def mode(request, interposer):
    return request.param


def test_the_arena_is_exactly_the_planned_bytes(conv_builds, attention_builds, mode):
    for builds, returned in ((conv_builds, RETURNED), (attention_builds, 16 * 32 * 4)):
        memory = measure_memory(builds.arena[mode].path, builds.inputs)
        assert memory.arena_nbytes == memory.storage_nbytes == builds.arena[mode].arena_nbytes
        assert memory.returned_nbytes == returned
        assert memory.peak_nbytes == memory.arena_nbytes + returned + memory.workspace_nbytes
        assert memory.growth_nbytes == 0


def test_stock_storages_are_told_from_returned_tensors_and_scratch(conv_builds, mode):
    memory = measure_memory(conv_builds.stock[mode], conv_builds.inputs)
    assert [(s.nbytes, s.returned) for s in memory.storages] == [(8192, False), (8192, False), (8192, True), (32, True)]
    assert (memory.arena_nbytes, memory.storage_nbytes, memory.returned_nbytes) == (8192, 16384, RETURNED)
    assert (memory.workspace_requested_nbytes, memory.workspace_nbytes) == (WORKSPACE_REQUESTED, WORKSPACE_POOLED)
    assert memory.peak_nbytes <= memory.storage_nbytes + memory.returned_nbytes + memory.workspace_nbytes
    assert memory.growth_nbytes == 0
    assert 0 < memory.host_nbytes < 1 << 20


def test_a_caller_owned_arena_is_not_allocated_by_the_call(interposer, tmp_path, conv_builds):
    build = build_with_arena(conv_chain(), tmp_path / "caller.so", caller_owned=True)
    memory = measure_memory(build.path, [*conv_builds.inputs, np.zeros(build.arena_nbytes, "uint8")])
    assert memory.arena_nbytes == 0
    assert memory.peak_nbytes == RETURNED + WORKSPACE_POOLED


def test_the_pooled_allocator_rounds_to_pages(interposer, conv_builds):
    memory = measure_memory(conv_builds.stock["bytecode"], conv_builds.inputs, allocator="pooled")
    assert memory.storages
    assert all(storage.nbytes % 4096 == 0 for storage in memory.storages)
    assert memory.returned_nbytes > RETURNED


def _reversed_sum(nbytes: int) -> tvm.IRModule:
    """A kernel whose temporary of that many bytes cannot be inlined away."""
    x = relax.Var("x", dense_type((nbytes,), "int8"))

    def kernel(values: te.Tensor) -> te.Tensor:
        scratch = te.compute(values.shape, lambda i: values[i] * te.const(2, "int8"), name="scratch")
        return te.compute(values.shape, lambda i: scratch[nbytes - 1 - i] + scratch[i], name="total")

    builder = relax.BlockBuilder()
    with builder.function(f"bytes{nbytes}", [x]):
        with builder.dataflow():
            result = builder.emit_output(builder.call_te(kernel, x))
        builder.emit_func_output(result)
    return builder.get()


@pytest.mark.parametrize(("nbytes", "requested", "pooled"), [(1023, 0, 0), (1024, 1024, 4096), (4097, 4097, 8192)])
def test_scratch_of_less_than_a_kibibyte_stays_on_the_stack(interposer, nbytes, requested, pooled):
    executable = relax.build(_reversed_sum(nbytes), TARGET)
    memory = measure_memory(executable, [np.ones(nbytes, "int8")], function=f"bytes{nbytes}")
    assert (memory.workspace_requested_nbytes, memory.workspace_nbytes) == (requested, pooled)
    assert memory.returned_nbytes == nbytes


def _view_module(offset: int) -> tvm.IRModule:
    """x + x through a tensor at an offset of a storage of 4096 bytes."""
    x = relax.Var("x", dense_type((16,)))
    memory = relax.op.memory
    builder = relax.BlockBuilder()
    with builder.function("main", [x]):
        storage = builder.emit(memory.alloc_storage(relax.ShapeExpr([4096]), 0, "global", "uint8"))
        raw = builder.emit(memory.alloc_tensor(storage, offset, relax.ShapeExpr([16]), "float32"))
        view = builder.emit(memory.ensure_zero_offset(raw))
        builder.emit_func_output(view)
    return builder.get()


def test_a_returned_view_counts_its_whole_storage(interposer):
    memory = measure_memory(relax.build(_view_module(128), TARGET), [np.ones(16, "float32")])
    assert memory.storages == (Storage(4096, True),)
    assert (memory.arena_nbytes, memory.returned_nbytes) == (0, 4096)


def test_a_misaligned_view_costs_a_block_of_its_own(interposer):
    memory = measure_memory(relax.build(_view_module(4), TARGET), [np.ones(16, "float32")])
    assert memory.storages == (Storage(4096, False), Storage(64, True))


def test_a_reused_address_is_returned_only_in_its_last_life():
    log = [("allocated", 64, 0x1000), ("freed", 64, 0x1000), ("allocated", 128, 0x1000), ("allocated", 32, 0x2000)]
    events = [Event(kind, "device", nbytes, 64, address) for kind, nbytes, address in log]
    nothing = {name: Counter(0, 0, 0, 0) for name in ("workspace", "requested", "aligned", "host")}
    memory = summarise(events, nothing, [0x1040], growth_nbytes=0)
    assert memory.storages == (Storage(64, False), Storage(128, True), Storage(32, False))
    assert (memory.arena_nbytes, memory.storage_nbytes, memory.returned_nbytes) == (64, 96, 128)


def test_what_cannot_be_measured_is_one_clear_line(conv_builds, interposer):
    stock = conv_builds.stock["bytecode"]
    with pytest.raises(MemoptError, match="CPU only, not on 'cuda'"):
        measure_memory(stock, conv_builds.inputs, device="cuda")
    with pytest.raises(MemoptError, match=r"main: the call failed: .*expects 1 arguments"):
        measure_memory(stock, [])


def test_a_crash_in_the_child_is_said_to_be_one():
    crashed = subprocess.CompletedProcess([], -11, "", "")
    assert "SIGSEGV" in _failure("measure", crashed)

"""Programs for this machine: the same tables and kernels as for others, beside TVM's virtual machine."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tvm
from tvm import relax

import tvm_memopt as mo
from tests.export.models import MODELS
from tvm_memopt.errors import MemoptError
from tvm_memopt.export.build import export_program, run_exported, unmodified_storage
from tvm_memopt.export.document import read_document
from tvm_memopt.export.placement import misplaced
from tvm_memopt.export.read import read_program
from tvm_memopt.frontends import random_inputs
from tvm_memopt.passes.build import build_unmodified
from tvm_memopt.runtime import outputs_equal, run_module

TARGET = tvm.target.Target("llvm")
CASES = [
    *((name, {"narrow": "always"}) for name in MODELS),
    ("convolutions", {"caller_arena": True}),
    ("convolutions", {"io_in_arena": "inputs,outputs"}),
]


@pytest.mark.parametrize(("name", "options"), CASES, ids=[*MODELS, "caller", "io_in_arena"])
def test_a_program_computes_what_the_unmodified_build_does_at_the_offsets_of_its_plan(
    name: str, options: dict[str, object], tmp_path: Path
) -> None:
    mod = MODELS[name](tmp_path)
    planned, plan = mo.optimize(mod, TARGET, time_limit=2, **options)
    path = tmp_path / "model.elf"
    export_program(planned, TARGET, path)
    inputs = [np.asarray(value) for value in random_inputs(mod, 1)]
    found = run_exported(path, inputs)
    assert outputs_equal(found.outputs, run_module(build_unmodified(mod, TARGET), inputs))
    assert misplaced(read_document(path), found) == []
    assert found.arena_nbytes == plan.arena_nbytes
    assert 0.9 * plan.arena_nbytes < found.touched_nbytes <= plan.arena_nbytes


def test_the_unmodified_module_is_a_program_without_an_arena(tmp_path: Path) -> None:
    mod = MODELS["convolutions"](tmp_path)
    path = tmp_path / "unmodified.elf"
    program = export_program(unmodified_storage(mod, TARGET), TARGET, path)
    inputs = [np.asarray(value) for value in random_inputs(mod, 1)]
    assert outputs_equal(run_exported(path, inputs).outputs, run_module(build_unmodified(mod, TARGET), inputs))
    assert program.arena_nbytes == 0
    assert sum(program.storages) > 0


def test_addresses_that_are_not_those_of_the_plan_are_told(tmp_path: Path) -> None:
    planned, _ = mo.optimize(MODELS["convolutions"](tmp_path), TARGET, time_limit=2)
    path = tmp_path / "model.elf"
    export_program(planned, TARGET, path)
    document = read_document(path)
    found = run_exported(path, [np.zeros((1, 3, 16, 16), "float32")])
    moved = [tuple(place + 64 if place >= 0 else place for place in call) for call in found.places]
    assert any(
        "no tensor at offset" in line for line in misplaced(document, dataclasses.replace(found, places=tuple(moved)))
    )
    assert misplaced(document, dataclasses.replace(found, arena_nbytes=64)) != []
    assert misplaced(document, dataclasses.replace(found, overrun_nbytes=8)) == ["8 bytes after the arena were written"]


def test_a_program_can_be_read_without_being_built(tmp_path: Path) -> None:
    planned, plan = mo.optimize(MODELS["int8"](tmp_path), TARGET, time_limit=2)
    program = read_program(planned)
    assert [value.name for value in program.inputs] == ["x"]
    assert program.arena_nbytes == plan.arena_nbytes
    assert {a.memory for call in program.calls for a in call.arguments} <= {"arena", "input", "constant", "storage"}


def _module(build: object, *shapes: tuple[object, ...]) -> tvm.IRModule:
    builder = relax.BlockBuilder()
    params = [relax.Var(f"x{i}", relax.TensorType(shape, "float32")) for i, shape in enumerate(shapes)]
    with builder.function("main", params, attrs={"num_input": len(params)}):
        with builder.dataflow():
            result = builder.emit_output(build(builder, *params))
        builder.emit_func_output(result)
    return builder.get()


def test_shapes_known_only_at_run_time_are_refused_in_one_line() -> None:
    n = tvm.tirx.Var("n", "int64")
    mod = _module(lambda b, x: b.emit(relax.op.nn.relu(x)), (n, 4))
    with pytest.raises(
        MemoptError, match="cannot be a static program: the number n is known only at run time"
    ) as error:
        read_program(unmodified_storage(mod, TARGET))
    assert "\n" not in str(error.value)


def test_control_flow_is_refused_in_one_line() -> None:
    @tvm.script.ir_module
    class Branch:
        @tvm.script.relax.function
        def main(c: tvm.script.relax.Tensor((), "bool"), x: tvm.script.relax.Tensor((4,), "float32")):
            if c:  # noqa: SIM108
                y = tvm.script.relax.nn.relu(x)
            else:
                y = tvm.script.relax.exp(x)
            return y

    with pytest.raises(MemoptError, match="it has control flow"):
        read_program(unmodified_storage(Branch, TARGET))


def test_a_kernel_of_a_library_is_refused_by_name(tmp_path: Path) -> None:
    mod = _module(lambda b, x: b.emit(relax.op.sort(x)), (4, 8))
    with pytest.raises(MemoptError, match="calls the library function"):
        export_program(unmodified_storage(mod, TARGET), TARGET, tmp_path / "sort.elf")
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_makes_no_objects_is_refused(tmp_path: Path) -> None:
    planned, _ = mo.optimize(MODELS["int8"](tmp_path), "c", time_limit=1)
    with pytest.raises(MemoptError, match="target kind 'c'"):
        export_program(planned, tvm.target.Target("c"), tmp_path / "model.elf")


def test_wrong_inputs_are_told_before_the_program_runs(tmp_path: Path) -> None:
    planned, _ = mo.optimize(MODELS["int8"](tmp_path), TARGET, time_limit=1)
    export_program(planned, TARGET, tmp_path / "model.elf")
    with pytest.raises(MemoptError, match=r"input x is float32 \(1, 8, 8, 16\), expected int8"):
        run_exported(tmp_path / "model.elf", [np.zeros((1, 8, 8, 16), "float32")])
    with pytest.raises(MemoptError, match="has 1 inputs, and 0 were given"):
        run_exported(tmp_path / "model.elf", [])


def test_a_file_that_is_no_program_is_told(tmp_path: Path) -> None:
    with pytest.raises(MemoptError, match="is not a program made by"):
        read_document("/proc/self/exe")

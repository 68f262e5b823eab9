import numpy as np
import pytest
import tvm
from tvm import relax

from tvm_memopt.errors import MemoptError
from tvm_memopt.runtime.array_file import load_arrays, save_arrays
from tvm_memopt.runtime.execute import differing_outputs, outputs_equal, run_module
from tvm_memopt.runtime.loading import module_file

from .arena_modules import TARGET, build_stock, dense_type, one_function


@pytest.mark.parametrize("mode", ["bytecode", "compiled"])
def test_an_arena_build_returns_the_bits_of_the_stock_build(conv_builds, mode):
    stock = run_module(conv_builds.stock[mode], conv_builds.inputs)
    assert [output.shape for output in stock] == [(8, 256), (1, 8)]
    assert np.allclose(stock[0].sum(axis=1), 1, atol=1e-5)
    assert outputs_equal(stock, run_module(conv_builds.arena[mode].path, conv_builds.inputs, allocator="naive"))


def test_nested_tuples_shapes_and_numbers_come_back_flat():
    rows = tvm.tirx.Var("n", "int64")
    x = relax.Var("x", relax.TensorType((rows, 4), "float32"))
    builder = relax.BlockBuilder()
    with builder.function("main", [x]):
        with builder.dataflow():
            doubled, shape = builder.emit(relax.op.add(x, x)), builder.emit(relax.op.shape_of(x))
            result = builder.emit_output(relax.Tuple([relax.Tuple([doubled, shape]), x, relax.prim_value(3)]))
        builder.emit_func_output(result)
    array = np.arange(12, dtype="float32").reshape(3, 4)
    outputs = run_module(relax.build(builder.get(), TARGET), [array])
    assert outputs_equal(outputs, [array + array, np.array([3, 4]), array, np.array(3)])


def test_equality_is_of_bits_and_not_of_values():
    quiet, payload = np.array([0x7FC00000], "uint32").view("float32"), np.array([0x7FC00001], "uint32").view("float32")
    assert outputs_equal([quiet], [quiet.copy()])
    assert not outputs_equal([quiet], [payload])
    assert not outputs_equal([np.zeros(1)], [-np.zeros(1)])
    assert not outputs_equal([np.zeros(2, "int32")], [np.zeros(2, "float32")])
    assert differing_outputs([quiet, quiet], [quiet, payload, quiet]) == (1, 2)


def test_arrays_of_every_type_survive_a_file(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="brings bfloat16 and float8 to numpy")
    arrays = [np.ones((2, 3), ml_dtypes.bfloat16), np.array(True), np.zeros((0, 4), "int8"), np.full(3, np.nan)]
    save_arrays(tmp_path / "arrays.npz", arrays)
    assert outputs_equal(load_arrays(tmp_path / "arrays.npz"), arrays)


def test_an_executable_is_exported_for_as_long_as_it_is_needed(conv_builds):
    with module_file(relax.build(_scale(2), TARGET)) as path:
        assert outputs_equal(run_module(path, [np.ones(4, "float32")]), [np.full(4, 2, "float32")])
    assert not path.exists()
    with module_file(str(conv_builds.stock["bytecode"])) as path:
        assert path == conv_builds.stock["bytecode"].resolve()


def test_a_module_that_was_replaced_is_loaded_anew(tmp_path):
    for factor in (2, 3, 5):
        build_stock(_scale(factor), tmp_path / "next.so").replace(tmp_path / "module.so")
        assert outputs_equal(
            run_module(tmp_path / "module.so", [np.ones(4, "float32")]), [np.full(4, factor, "float32")]
        )


def _scale(factor: int) -> tvm.IRModule:
    x = relax.Var("x", dense_type((4,)))
    return one_function([x], lambda builder: builder.emit(relax.op.multiply(x, relax.const(factor, "float32"))))


def test_what_cannot_run_is_one_clear_line(conv_builds, tmp_path):
    stock = conv_builds.stock["bytecode"]
    (tmp_path / "text.so").write_text("no library")
    for module, inputs, function, words in (
        (tmp_path / "absent.so", [], "main", "no such file"),
        (tmp_path / "text.so", [], "main", "not a compiled Relax module"),
        (42, [], "main", "not a compiled Relax module"),
        (stock, conv_builds.inputs, "backward", "no function 'backward'"),
        (stock, [], "main", "expects 1 arguments"),
        (stock, [np.zeros(3, "float32")], "main", "ndim"),
    ):
        with pytest.raises(MemoptError, match=words) as caught:
            run_module(module, inputs, function=function)
        assert "\n" not in str(caught.value)

"""Relax modules from TVMScript text and JSON."""

from pathlib import Path

import numpy as np
import pytest
import tvm
from tvm import relax, tirx

from tests.frontends.running import run_main
from tvm_memopt.errors import FrontendError
from tvm_memopt.frontends import SymbolicDim, import_model, model_inputs
from tvm_memopt.frontends.relax_types import bounds_of

USER_FILE = '''"""A module as a user writes it."""
from __future__ import annotations
import tvm
from tvm.script import ir as I
from tvm.script import relax as Rx


@I.ir_module
class Module:
    @Rx.function
    def main(x: Rx.Tensor((2, 3), "float32")) -> Rx.Tensor((2, 3), "float32"):
        y = Rx.add(x, Rx.const(1.0, "float32"))
        return y

    @Rx.function
    def other(x: Rx.Tensor((2,), "float32")) -> Rx.Tensor((2,), "float32"):
        return x
'''


def add_constant(rows=2) -> tvm.IRModule:
    """x of shape (rows, 2 * rows) or (rows, 40), plus a constant row of 40."""
    x = relax.Var("x", relax.TensorType((rows, 40), "float32"))
    builder = relax.BlockBuilder()
    with builder.function("main", [x]):
        with builder.dataflow():
            out = builder.emit_output(relax.op.add(x, relax.const(np.arange(40, dtype="float32").reshape(1, 40))))
        builder.emit_func_output(out)
    return builder.get()


def symbolic() -> tvm.IRModule:
    """x of shape (n, 40) and doubled of shape (2 * n,)."""
    n = tirx.Var("n", "int64")
    x = relax.Var("x", relax.TensorType((n, 40), "float32"))
    doubled = relax.Var("doubled", relax.TensorType((2 * n,), "float32"))
    builder = relax.BlockBuilder()
    with builder.function("main", [x, doubled]):
        with builder.dataflow():
            out = builder.emit_output(relax.Tuple([relax.op.sum(x, axis=1), relax.op.exp(doubled)]))
        builder.emit_func_output(out)
    return builder.get()


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def failure(path: Path, shapes=None) -> str:
    with pytest.raises(FrontendError) as caught:
        import_model(path, shapes)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".py", ".relax", ".txt"])
def test_printed_text_comes_back_as_the_same_module(tmp_path: Path, suffix):
    mod = add_constant()
    path = written(tmp_path / f"module{suffix}", mod.script(show_meta=True))
    tvm.ir.assert_structural_equal(import_model(path), mod)


def test_saved_json_comes_back_as_the_same_module(tmp_path: Path):
    mod = add_constant()
    tvm.ir.assert_structural_equal(import_model(written(tmp_path / "module.json", tvm.ir.save_json(mod))), mod)


def test_a_users_file_with_imports_and_other_functions_is_read(tmp_path: Path):
    mod = import_model(written(tmp_path / "module.py", USER_FILE))
    assert {var.name_hint for var in mod.get_global_vars()} == {"main", "other"}
    x = np.ones((2, 3), "float32")
    assert np.array_equal(run_main(mod, [x])[0], x + 1)


@pytest.mark.parametrize("write", [lambda mod: mod.script(show_meta=True), tvm.ir.save_json], ids=["text", "json"])
def test_symbolic_dimensions_are_fixed_everywhere_they_stand(tmp_path: Path, write):
    name = "module.json" if write is tvm.ir.save_json else "module.py"
    mod = import_model(written(tmp_path / name, write(symbolic())), {"x": (3, 40)})
    assert [one.shape for one in model_inputs(mod)] == [(3, 40), (6,)]
    x = np.ones((3, 40), "float32")
    assert run_main(mod, [x, np.zeros(6, "float32")])[0].tolist() == [40.0, 40.0, 40.0]


def test_symbolic_dimensions_stay_where_a_bound_is_given(tmp_path: Path):
    path = written(tmp_path / "module.py", symbolic().script())
    mod = import_model(path, {"x": (SymbolicDim("n", 5), 40), "doubled": (SymbolicDim("m", 10),)})
    assert bounds_of(mod["main"]) == {"n": 5}
    assert [one.shape for one in model_inputs(mod)] == [(5, 40), (10,)]


def test_symbolic_dimensions_without_a_value_are_listed(tmp_path: Path):
    message = failure(written(tmp_path / "module.py", symbolic().script()))
    assert "'x' at dimension 0 (n)" in message
    assert "--shape x=?,40" in message


def test_shapes_that_contradict_each_other_are_refused(tmp_path: Path):
    path = written(tmp_path / "module.py", symbolic().script())
    assert "'doubled': dimension 0 is fixed at 6 in the model, not 7" in failure(path, {"x": (3, 40), "doubled": (7,)})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (USER_FILE.replace("Rx.add", "Rx.addition"), "no attribute 'addition' (line 12)"),
        (USER_FILE[:-60], "not valid TVMScript"),
        (
            USER_FILE.replace("def main", "def entry"),
            "no Relax function is named 'main'; the module holds entry, other",
        ),
        ("value = 3\n", "neither an @I.ir_module class nor an @R.function"),
        (add_constant().script(), "mod.script(show_meta=True)"),
    ],
)
def test_bad_text_is_one_line(tmp_path: Path, text, message):
    assert message in failure(written(tmp_path / "module.py", text))


def test_bytes_that_are_no_text_are_one_line(tmp_path: Path):
    path = tmp_path / "module.py"
    path.write_bytes(b"@I.ir_module\n\xff\xfe")
    assert "not a" in failure(path) or "UTF-8" in failure(path)


def test_bad_json_is_one_line(tmp_path: Path):
    text = tvm.ir.save_json(add_constant())
    assert "not a module saved by tvm.ir.save_json" in failure(written(tmp_path / "cut.json", text[: len(text) // 2]))
    other = tvm.ir.save_json(tvm.runtime.convert([1, 2]))
    assert "expected an IRModule" in failure(written(tmp_path / "list.json", other))


def test_other_json_of_ours_is_refused_by_name(tmp_path: Path):
    graph = written(tmp_path / "graph.json", '{"format": "memopt-graph/1", "tensors": [], "ops": []}')
    assert "is a memory graph (memopt-graph/1 JSON), not a model" in failure(graph)
    plan = written(tmp_path / "plan.json", '{"format": "memopt-plan/1"}')
    assert "is a memory plan (memopt-plan/1 JSON), not a model" in failure(plan)


def test_a_module_that_breaks_the_rules_of_relax_is_refused(tmp_path: Path):
    x, stray = (relax.Var(name, relax.TensorType((2,), "float32")) for name in ("x", "stray"))
    body = relax.SeqExpr([], stray)
    main = relax.Function([x], body, relax.TensorType((2,), "float32")).with_attr("global_symbol", "main")
    path = written(tmp_path / "module.json", tvm.ir.save_json(tvm.IRModule({"main": main})))
    assert "breaks a rule of Relax" in failure(path)

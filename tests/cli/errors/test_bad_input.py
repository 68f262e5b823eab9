"""Bad input: exit status 2, one line that says what and where, and not one file made or changed."""

import json
import shutil
import subprocess

import pytest

from tests.cli.running import assert_refused, nothing_left_behind
from tests.frontends.onnx.models import one_node

PLAN_GRAPH = ("plan", "graph.json", "-o", "new.json")


@pytest.fixture(scope="module")
def bad(made, tmp_path_factory):
    """Files that are wrong, beside the right ones."""
    folder = shutil.copytree(made, tmp_path_factory.mktemp("bad") / "files")
    model = (made / "model.onnx").read_bytes()
    (folder / "truncated.onnx").write_bytes(model[: len(model) // 2])
    (folder / "empty.onnx").write_bytes(b"")
    (folder / "text.onnx").write_text("not a model\n")
    one_node(folder / "unknown.onnx", "NoSuchOperator", "odd_one")
    for name, change in {
        "cyclic.json": lambda graph: graph["ops"][0].update(inputs=[6]),
        "negative.json": lambda graph: graph["tensors"][2].update(nbytes=-5),
        "no_outputs.json": lambda graph: graph.pop("outputs"),
    }.items():
        graph = json.loads((made / "graph.json").read_text())
        change(graph)
        (folder / name).write_text(json.dumps(graph))
    (folder / "broken.json").write_text('{"format": "memopt-graph/1", ')
    (folder / "text.so").write_text("not a library\n")
    (folder / "folder").mkdir()
    return folder


@pytest.fixture
def refused(bad, command, monkeypatch):
    """Run a command among the bad files: it must be refused and leave the folder as it was."""
    monkeypatch.chdir(bad)

    def run(*arguments, says):
        with nothing_left_behind(bad):
            result = command(*arguments)
        assert_refused(result, *says)

    return run


@pytest.mark.parametrize("verb", ["graph", "plan", "optimize"])
@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("truncated.onnx", ["truncated.onnx: not a readable ONNX model (truncated"]),
        ("empty.onnx", ["empty.onnx: the file is empty"]),
        ("text.onnx", ["text.onnx: not a"]),
        ("unknown.onnx", ["unknown.onnx: ", "does not support NoSuchOperator (node 'odd_one')"]),
        ("open.onnx", ["open.onnx: ", "'image' at dimension 0 (batch)", "--shape image=?,3,16,16"]),
        ("none.onnx", ["none.onnx: cannot be read: No such file or directory"]),
        ("folder", ["folder: is a directory; expected a model file"]),
        ("plan.json", ["plan.json: is a memory plan"]),
    ],
)
def test_a_model_that_cannot_be_imported(refused, verb, model, says):
    refused(verb, model, "-o", "new.so" if verb == "optimize" else "new.json", says=says)


@pytest.mark.parametrize(
    ("graph", "says"),
    [
        ("cyclic.json", ["cyclic.json: ", "ops[0] (stem)", "ops[5] (join)", "not a topological order", "cycle"]),
        ("negative.json", ["negative.json: key 'tensors[2].nbytes': expected an integer >= 0, found -5"]),
        ("no_outputs.json", ["no_outputs.json: missing required key 'outputs'"]),
        ("broken.json", ["broken.json: not valid JSON"]),
        ("none.json", ["none.json: cannot be read"]),
    ],
)
def test_a_graph_that_breaks_a_rule(refused, graph, says):
    refused("plan", graph, "-o", "new.json", says=says)
    refused("check", graph, "plan.json", says=says)
    refused("show", "plan.json", "--graph", graph, "-o", "new.svg", says=says)


@pytest.mark.parametrize("budget", ["-5", "80%%", "12XB", "0", "0%", "nan%", "nan", "inf", "", "1e9", "½", "0.3B"])
def test_a_budget_that_is_none(refused, budget):
    says = [f"budget '{budget}': ", "expected"]
    refused(*PLAN_GRAPH, "--budget", budget, says=says)
    refused("optimize", "model.onnx", "-o", "new.so", "--budget", budget, says=says)


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--time-limit", "-1", ["time limit is -1.0 s, expected more than 0"]),
        ("--time-limit", "0", ["time limit is 0.0 s, expected more than 0"]),
        ("--time-limit", "nan", ["time limit is nan s, expected more than 0"]),
        ("--time-limit", "soon", ["--time-limit", "'soon'", "(see 'tvm-memopt plan --help')"]),
        ("--threads", "0", ["thread count is 0, expected at least 1"]),
        ("--threads", "-2", ["thread count is -2, expected at least 1"]),
        ("--seed", "x", ["--seed", "'x'", "(see 'tvm-memopt plan --help')"]),
        ("--fold", "perhaps", ["--fold", "'perhaps'", "always"]),
        ("--split", "always", ["--split", "'always'", "never", "free", "auto"]),
        ("--budgt", "80%", ["--budgt", "(see 'tvm-memopt plan --help')"]),
    ],
)
def test_an_option_that_is_wrong(refused, option, value, says):
    refused(*PLAN_GRAPH, option, value, says=says)


def test_a_command_that_is_wrong(refused):
    refused("plan", "graph.json", says=["--output", "(see 'tvm-memopt plan --help')"])
    refused("plan", says=["MODEL_OR_GRAPH"])
    refused("paln", says=["'paln'", "(see 'tvm-memopt --help')"])
    refused("show", "plan.json", says=["--graph"])
    refused(*PLAN_GRAPH, "more", says=["more"])


@pytest.mark.parametrize("target", ["toaster", '{"kind": "llvm"', '{"kind": "toaster"}', "[1]", ""])
def test_a_target_that_tvm_does_not_know(refused, target):
    says = [f"target {target!r} is unknown to TVM", "expected a name such as llvm"]
    refused("graph", "model.onnx", "-o", "new.json", "--target", target, says=says)
    refused("optimize", "model.onnx", "-o", "new.so", "--target", target, says=says)


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ("image=1,3,x,16", ["'x' is neither a positive integer nor"]),
        ("image=1,3,16", ["input 'image' has 4 dimensions", "has 3"]),
        ("picture=1,3,16,16", ["no input is named 'picture'", "'image'"]),
        ("image", ["shape 'image'", "expected NAME=D0,D1,..."]),
    ],
)
def test_a_shape_that_does_not_fit(refused, shape, says):
    refused("graph", "open.onnx", "-o", "new.json", "--shape", shape, says=says)


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("none/new.json", ["none/new.json: cannot be written: there is no folder none"]),
        ("folder", ["folder: is a folder, expected the name of a file"]),
        ("graph.json", ["graph.json: is an input of this command"]),
        ("./graph.json", ["./graph.json: is an input of this command"]),
    ],
)
def test_an_output_that_cannot_be(refused, output, says):
    refused("plan", "graph.json", "-o", output, says=says)


def test_a_module_needs_its_extension_and_a_compiler_that_is_there(refused):
    refused("optimize", "model.onnx", "-o", "new.dll", says=["new.dll: ", "ends in .so"])
    refused("optimize", "model.onnx", "-o", "new.so", "--cc", "no-such-cc", says=["'no-such-cc' is not installed"])
    refused("optimize", "model.onnx", "-o", "new.so", "--plan", "new.so", says=["both the module and the plan"])
    refused("optimize", "model.onnx", "-o", "new.so", "--report", "text.so", says=["text.so: cannot be a folder"])
    refused("optimize", "model.onnx", "-o", "new.so", "--report", "text.so/in", says=["text.so is a file"])
    refused("optimize", "model.onnx", "-o", "model.onnx", says=["model.onnx: ", "ends in .so"])
    refused("optimize", "graph.json", "-o", "new.so", says=["graph.json: is a graph, expected a model"])


def test_a_chart_needs_an_extension_that_is_known(refused):
    for name in ("chart.pdf", "chart"):
        says = [f"{name}: expected a name that ends in .svg, .png, .json, .csv"]
        refused("show", "plan.json", "--graph", "graph.json", "-o", name, says=says)
    refused("show", "plan.json", "--graph", "graph.json", "-o", "plan.json", says=["is an input"])


def test_a_module_that_is_not_one_of_ours(refused, bad):
    refused("run", "none.so", says=["none.so: no such file"])
    refused("run", "text.so", says=["text.so: not a compiled Relax module"])
    refused("run", "model.onnx", says=["model.onnx: not a compiled Relax module"])


def test_a_library_that_is_not_one_of_ours(refused, bad):
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++ to make another library")
    subprocess.run([compiler, "-shared", "-x", "c", "/dev/null", "-o", bad / "other.so"], check=True)
    refused("run", "other.so", says=["other.so: not a compiled Relax module"])


def test_a_module_that_tvm_built_without_us(refused, bad):
    from tvm_memopt.frontends import import_model
    from tvm_memopt.native_output import native_stderr_discarded
    from tvm_memopt.passes.build import build_unmodified
    from tvm_memopt.passes.compile import make_target

    with native_stderr_discarded():
        build_unmodified(import_model(bad / "model.onnx"), make_target("llvm")).export_library(str(bad / "stock.so"))
    refused("run", "stock.so", says=["stock.so: is not a module made by `tvm-memopt optimize`"])

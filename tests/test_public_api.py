"""What others may rely on: names, light imports, docstrings; and the house rules on size."""

import ast
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tvm_memopt.passes.versions import has_relay

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "tvm_memopt").rglob("*.py"))
PUBLIC = {
    "tvm_memopt": """
        BudgetError Device FrontendError Graph GraphError InfeasibleBudgetError MemoptError NoPlanError Plan PlanError
        Request check cost_model device_profile extract import_model optimize pipeline register_pipeline relay solve
    """,
    "tvm_memopt.relay": """
        GCNModel MemoryPlan RelayBuild RelayOptions RelayPlan StorageReport aot_executor assign_storage build
        build_unmodified default_cost_model default_target make_target plan_module usmp_config
    """,
    "tvm_memopt.solvers": """
        Deadline METHODS ORDERINGS Placement Progress Request SWITCHES beam_search place plan_for_order solve
    """,
    "tvm_memopt.targets": "Arithmetic Compiler DeviceProfile Fit Memory Rates builtin_devices device_profile",
    "tvm_memopt.report": """
        Band Block BuildFigures Holder ReportContext Step TextStyle Timeline build_timeline buffers_csv print_chart
        summary_line text_chart trace_json write_buffers_csv write_chart write_report write_trace
    """,
    "tvm_memopt.runtime": """
        Conflict MemoryMeasurement PoisonResult Spread Storage TimeComparison compare_times measure_memory
        outputs_equal poison_run run_module
    """,
    "tvm_memopt.targets.rpc": """
        Address Device DeviceError DeviceLostError DeviceTimeoutError NoDeviceError Session
    """,
    "tvm_memopt.frontends": """
        MODEL_FORMATS ModelInput SymbolicDim detect_format import_model model_inputs parse_shape parse_shapes
        random_inputs
    """,
}
OWN_NAMES = {
    "tvm_memopt.testing": "arena_nbytes assert_arena_below assert_same_outputs assert_valid dead_after",
    "tvm_memopt.errors": """
        BudgetError FrontendError GraphError InfeasibleBudgetError MemoptError NoPlanError PlanError Violation
    """,
    "tvm_memopt.atomic": "atomic_path write_text_atomic",
    "tvm_memopt.byte_sizes": "parse_bytes",
    "tvm_memopt.toml_file": "Table read_toml",
}
HEAVY = {"click", "matplotlib", "numpy", "onnx", "onnxruntime", "ortools", "rich", "torch", "tvm", "tvm_ffi"}


@pytest.mark.parametrize("module", PUBLIC)
def test_the_public_names_are_these(module):
    found = import_module(module)
    assert sorted(found.__all__) == sorted(PUBLIC[module].split())
    if module == "tvm_memopt.relay" and not has_relay():
        return  # its names need Relay
    for name in found.__all__:
        assert getattr(found, name) is not None


@pytest.mark.parametrize("module", OWN_NAMES)
def test_a_module_without_a_list_defines_these(module):
    defined = [
        name
        for name, value in vars(import_module(module)).items()
        if not name.startswith("_") and inspect.isroutine(value) | inspect.isclass(value) and value.__module__ == module
    ]
    assert sorted(defined) == sorted(OWN_NAMES[module].split())


def test_an_unknown_name_is_an_attribute_error_and_dir_lists_the_known():
    import tvm_memopt

    assert dir(tvm_memopt) == sorted(tvm_memopt.__all__)
    with pytest.raises(AttributeError, match="no attribute 'optimise'"):
        _ = tvm_memopt.optimise


@pytest.mark.parametrize(
    ("imported", "allowed"),
    [
        ("tvm_memopt", set()),
        ("tvm_memopt.errors", set()),
        ("tvm_memopt.graph", set()),
        ("tvm_memopt.testing", set()),
        ("tvm_memopt.cli.main", {"click"}),
        ("tvm_memopt.solvers", {"numpy"}),
        ("tvm_memopt.cost_model", set()),
        ("tvm_memopt.cost_model.data.samples", {"numpy"}),
        ("tvm_memopt.cost_model.network.checkpoint", {"numpy"}),
        ("tvm_memopt.frontends", {"numpy"}),
        ("tvm_memopt.targets", set()),
    ],
)
def test_importing_loads_no_heavy_package(imported, allowed):
    code = f"import sys, {imported}; print(*sorted({HEAVY!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert set(done.stdout.split()) <= allowed


def test_importing_after_tvm_registers_the_pipeline_and_before_it_does_not():
    for first, second, expected in (("tvm.relax", "tvm_memopt", True), ("tvm_memopt", "tvm.relax", False)):
        code = f"import {first}, {second}; import tvm; print('memopt' in tvm.relax.pipeline.PIPELINE_MAP)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
        assert done.stdout.split()[-1] == str(expected), (first, second)


def _functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_no_file_is_longer_than_400_lines_and_no_function_than_60():
    long = []
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        if len(text.splitlines()) > 400:
            long.append(f"{path.relative_to(ROOT)}: {len(text.splitlines())} lines")
        for function in _functions(ast.parse(text)):
            lines = (function.end_lineno or 0) - function.lineno + 1
            if lines > 60:
                long.append(f"{path.relative_to(ROOT)}:{function.lineno}: {function.name} has {lines} lines")
    assert SOURCES
    assert not long, "\n".join(long)


def test_modules_and_their_public_names_have_docstrings():
    bare = []
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
        for node in (tree, *named):
            if not ast.get_docstring(node) and path.name != "__main__.py":
                bare.append(f"{path.relative_to(ROOT)}: {getattr(node, 'name', 'the module')}")
    assert not bare, "\n".join(bare)


def test_public_functions_are_typed_in_full():
    untyped = []
    for path in SOURCES:
        for function in _functions(ast.parse(path.read_text(encoding="utf-8"))):
            arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
            bare = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
            if bare or function.returns is None:
                untyped.append(f"{path.relative_to(ROOT)}:{function.lineno}: {function.name} {bare}")
    assert not untyped, "\n".join(untyped)


def _repository_files():
    try:
        done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


# One letter of each is in brackets, so that this file does not match itself.
_TRACES = re.compile(
    r"(?<![\w.])/wor[k](?![\w-])|/hom[e]/\w+|/User[s]/\w+|/tmp/de[v]\b"  # folders of whoever wrote it
    r"|(?:index-ur[l]|find-link[s]|trusted-hos[t])[ =:]+[\"']?(?:\w+://|/|\w+\.\w)"  # where packages came from
    r"|https?://[^/\s]*(?:artifactor[y]|nexu[s]|registr[y]|prox[y]|mirro[r])"
    r"|https?://(?:10|127|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.[\d.]+"
)


def test_no_file_tells_of_the_machine_it_was_written_on():
    found = []
    for path in _repository_files():
        text = path.read_bytes()[:4_000_000].decode("utf-8", "ignore")
        found += [f"{path.relative_to(ROOT)}: {match[0]!r}" for match in _TRACES.finditer(text)]
    assert not found, "\n".join(found[:20])

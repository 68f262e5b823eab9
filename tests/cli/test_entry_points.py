import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def _run(*words, **options):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120, **options)


def test_the_installed_script_plans_a_graph(made, tmp_path):
    script = shutil.which("tvm-memopt", path=str(Path(sys.executable).parent)) or shutil.which("tvm-memopt")
    if script is None:
        pytest.skip("the package is not installed: pip install -e .")
    done = _run(script, "plan", made / "graph.json", "-o", tmp_path / "plan.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "optimal" in done.stdout


def test_the_package_runs_as_a_module_with_logs_on_stderr(made, tmp_path):
    done = _run(
        sys.executable, "-m", "tvm_memopt", "-vv", "optimize", made / "model.onnx", "-o", tmp_path / "m.so", "--json"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] in ("optimal", "feasible")
    assert "main: 7 ops, arena " in done.stderr
    assert "arena" not in done.stdout.replace('"arena_nbytes"', "")


def test_bad_input_is_one_line_from_a_process_too(tmp_path):
    done = _run(sys.executable, "-m", "tvm_memopt", "plan", "none.json", "-o", "plan.json", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "tvm-memopt: error: none.json: cannot be read: No such file or directory\n"
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("verb", ["check", "show"])
def test_a_full_disk_behind_stdout_is_one_line(made, verb):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, a device that is always full")
    words = {"check": ["graph.json", "plan.json"], "show": ["plan.json", "--graph", "graph.json"]}[verb]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tvm_memopt", verb, *words], stdout=full, stderr=subprocess.PIPE, text=True, cwd=made
        )
    assert done.returncode == 2
    assert done.stderr == "tvm-memopt: error: standard output cannot be written: No space left on device\n"


def test_help_needs_none_of_the_heavy_packages():
    code = (
        "import sys\nfrom tvm_memopt.cli.main import main\ntry: main(['plan', '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'tvm', 'torch', 'ortools', 'onnx', 'numpy', 'matplotlib', 'rich'}\n"
        "print(sorted(heavy & sys.modules.keys()), file=sys.stderr)"
    )
    assert _run(sys.executable, "-c", code).stderr == "[]\n"

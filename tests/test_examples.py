"""The examples run as they stand."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.parametrize("script", sorted(p.name for p in EXAMPLES.glob("*.py")))
def test_example_runs_and_prints_something(script: str) -> None:
    if script.startswith("01"):
        pytest.importorskip("onnxruntime", reason="the example model is folded through onnxruntime")
    run = subprocess.run([sys.executable, str(EXAMPLES / script)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.strip()


def test_the_program_without_python_holds_less_with_the_planned_module_and_computes_the_same() -> None:
    pytest.importorskip("tvm.relax")
    script = EXAMPLES / "05_without_python" / "build.py"
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    arena, planned, unmodified = run.stdout.splitlines()
    assert planned.split()[2] == unmodified.split()[2], "the hashes of the outputs differ"
    held = [int(line.rsplit(" kB of it")[0].rsplit(" ", 1)[1]) for line in (planned, unmodified)]
    assert int(arena.split()[1].replace(",", "")) // 1024 <= held[0] < held[1]

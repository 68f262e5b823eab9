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

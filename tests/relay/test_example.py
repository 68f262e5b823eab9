"""The example and the how-to page of the Relay door run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.small_models import two_branches

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_example_plans_below_tvms_algorithms():
    command = [sys.executable, str(ROOT / "examples" / "04_relay.py")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.startswith("Relay, TVM 0.")
    pool, best = (
        int(re.search(rf"^{words} ([\d,]+)$", run.stdout, re.MULTILINE)[1].replace(",", ""))
        for words in ("workspace pool", "TVM's best algorithm")
    )
    assert pool < best


def test_python_blocks_of_the_page_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnx", reason="the page reads an ONNX file")
    two_branches(tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "how-to" / "relay.md"
    text, namespace = page.read_text(encoding="utf-8"), {"__name__": "page"}
    for block in _BLOCK.finditer(text):
        before = text[: block.start()]
        if not before.rstrip().endswith("<!-- not run -->"):
            code = compile("\n" * (before.count("\n") + 1) + block[1], str(page), "exec")  # the page's line numbers
            exec(code, namespace)
    assert "alone needs" in capsys.readouterr().out

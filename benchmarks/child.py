"""One row of a benchmark in a process of its own, so that no row sees another's memory, caches or crash."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def row_in_process(
    module: str, name: str, options: Sequence[str], environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The row that ``python -m MODULE --one NAME --out FILE OPTIONS`` writes.

    A process that fails gives ``{"error": its last line on stderr}``.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "row.json"
        command = [sys.executable, "-m", module, "--one", name, "--out", str(out), *options]
        run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if run.returncode or not out.exists():
            lines = [line for line in run.stderr.splitlines() if line.strip()]
            return {"error": lines[-1] if lines else f"exit status {run.returncode}"}
        return dict(json.loads(out.read_text()))

"""The arena that TFLite Micro needs for a model, by its own recording allocator."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys

_INTERPRETER_NBYTES = 8 << 20
_RECORDER = """
import sys
import numpy as np
from tflite_micro.python.tflite_micro import runtime
interpreter = runtime.Interpreter.from_file(sys.argv[1], arena_size=int(sys.argv[2]))
details = interpreter.get_input_details(0)
interpreter.set_input(np.zeros(details["shape"], details["dtype"]), 0)
interpreter.invoke()
interpreter.print_allocations()
"""


def tflite_micro_head(path: str | os.PathLike[str]) -> int | None:
    """Bytes of the head of TFLite Micro's arena for a TFLite model: inputs, outputs and scratch.

    None if the package ``tflite-micro`` is not installed, or if it cannot run the model.
    """
    if importlib.util.find_spec("tflite_micro") is None:
        return None
    command = [sys.executable, "-c", _RECORDER, os.fspath(path), str(_INTERPRETER_NBYTES)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Arena allocation head (\d+)", run.stdout + run.stderr)
    return int(found[1]) if found else None

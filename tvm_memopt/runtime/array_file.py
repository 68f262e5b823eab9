"""Lists of numpy arrays in one .npz file, including types that numpy itself lacks (bfloat16, float8)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def save_arrays(path: Path, arrays: Sequence[np.ndarray]) -> None:
    """Write the arrays' bytes, types and shapes."""
    header = json.dumps([{"dtype": a.dtype.name, "shape": a.shape} for a in arrays])
    # Any, because numpy.savez also has keywords of other types.
    raw: dict[str, Any] = {f"a{i}": np.frombuffer(a.tobytes(), np.uint8) for i, a in enumerate(arrays)}
    np.savez(path, header=np.array(header), **raw)


def load_arrays(path: Path) -> list[np.ndarray]:
    """Read what save_arrays wrote, bit for bit."""
    with np.load(path) as file:
        header = json.loads(str(file["header"]))
        return [
            np.frombuffer(file[f"a{i}"].tobytes(), _dtype(entry["dtype"])).reshape(entry["shape"])
            for i, entry in enumerate(header)
        ]


def _dtype(name: str) -> np.dtype:
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes

        found: np.dtype = np.dtype(getattr(ml_dtypes, name))
        return found

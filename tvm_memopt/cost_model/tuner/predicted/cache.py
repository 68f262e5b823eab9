"""Results of searches on disk: one JSON file for each kernel, target and checkpoint."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tvm

from tvm_memopt.atomic import write_text_atomic
from tvm_memopt.cost_model.features.columns import FEATURE_VERSION
from tvm_memopt.cost_model.measure.sampling import candidate_hash
from tvm_memopt.cost_model.tuner.predicted.choices import Choice, Found
from tvm_memopt.errors import MemoptError
from tvm_memopt.targets.cache import cache_directory

_FORMAT = "memopt-schedules/1"
_SEARCH = 3  # increase with any change of the search or its guards that makes old results worse than new ones


class ScheduleCache:
    """The folder ``schedules`` of the package's cache, or ``folder``. A damaged file counts as absent.

    ``trouble``: why results could not be stored, or None.
    """

    def __init__(self, target: tvm.target.Target, checkpoint: Path, folder: Path | None = None) -> None:
        self.folder = folder or cache_directory() / "schedules"
        self.trouble: str | None = None
        digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
        self._source = f"{target}|{digest}|{tvm.__version__}|{FEATURE_VERSION}|{_SEARCH}"

    def read(self, mod: tvm.IRModule) -> Found | None:
        """The result for a kernel, or None."""
        try:
            document = json.loads(self._path(mod).read_text(encoding="utf-8"))
            if document["format"] != _FORMAT:
                return None
            return found_from_json(document["found"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, mod: tvm.IRModule, found: Found) -> None:
        """Store a result. A folder that cannot be written is remembered in ``trouble``; the search goes on."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text_atomic(self._path(mod), json.dumps({"format": _FORMAT, "found": asdict(found)}) + "\n")
        except (OSError, MemoptError) as error:
            self.trouble = str(error)

    def _path(self, mod: tvm.IRModule) -> Path:
        key = hashlib.sha256(f"{candidate_hash(mod):016x}|{self._source}".encode()).hexdigest()
        return self.folder / f"{key[:32]}.json"


def found_from_json(document: dict[str, Any]) -> Found:
    """A Found from the dictionary that asdict makes of it. Raises KeyError or TypeError if it is none."""
    choices = tuple(Choice(**choice) for choice in document["choices"])
    return Found(Choice(**document["unscheduled"]), choices)

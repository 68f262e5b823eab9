"""The manifest of a collection, and access to its shards without TVM."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tvm_memopt.cost_model.data.shards import NAME, Shard, read_shard
from tvm_memopt.cost_model.measure.timing import Timing
from tvm_memopt.errors import MemoptError

MANIFEST = "collection.json"
FORMAT = "memopt-collection/1"


@dataclass(frozen=True)
class Manifest:
    """Settings common to all measurements in a folder. Later runs must match them."""

    target: str
    device: str
    timing: dict[str, object] = field(default_factory=lambda: asdict(Timing()))
    format: str = FORMAT


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a collection. Raises MemoptError if the folder is not a collection."""
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, Mapping) or content.get("format") != FORMAT:
            raise ValueError(f"expected the format {FORMAT}")
        return Manifest(**content)
    except OSError as error:
        raise MemoptError(f"{folder}: is not a collection: {path.name} {error.strerror or error}") from error
    except (ValueError, TypeError) as error:
        raise MemoptError(f"{path}: is damaged: {error}") from error


def read_shards(folder: Path) -> Iterator[Shard]:
    """Read the shards of a collection, in order of program name. Raises MemoptError if none exist or one is damaged."""
    return map(read_shard, shard_paths(folder))


def shard_paths(folder: Path) -> list[Path]:
    """Paths of the shards in a collection, in order of program name. Raises MemoptError if there are none."""
    read_manifest(folder)
    paths = sorted(folder.glob(f"*/{NAME}"))
    if not paths:
        raise MemoptError(f"{folder}: holds no measured candidate: run 'tvm-memopt collect --out {folder}' first")
    return paths

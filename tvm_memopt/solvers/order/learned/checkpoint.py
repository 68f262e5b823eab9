"""Checkpoints: an .npz of plain arrays and one JSON text, so that loading never executes code from the file."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tvm_memopt.atomic import atomic_path
from tvm_memopt.errors import MemoptError
from tvm_memopt.solvers.native.order.learned import STATE_FEATURES
from tvm_memopt.solvers.order.learned.config import ModelConfig, weight_shapes
from tvm_memopt.solvers.order.learned.features import FEATURES
from tvm_memopt.solvers.order.learned.forward import Weights

FORMAT = "memopt-topoformer/1"
SHIPPED = Path(__file__).parent / "checkpoint.npz"
"""The bundled checkpoint. Its training is described in MODEL_CARD.md beside it."""


@dataclass(frozen=True)
class Checkpoint:
    """A trained network. ``story``: how it was trained, for the reader and the model card."""

    config: ModelConfig
    weights: Weights
    story: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of the configuration and the weights. Equal trainings give equal digests."""
        return _digest(self.config, self.weights)


def write_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write ``checkpoint`` atomically. Raises as atomic_path does."""
    head = {
        "format": FORMAT,
        "config": asdict(checkpoint.config),
        "features": FEATURES,
        "state_features": STATE_FEATURES,
        "digest": checkpoint.digest,
        "story": dict(checkpoint.story),
    }
    text = np.frombuffer(json.dumps(head).encode(), np.uint8)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        arrays: dict[str, Any] = {f"weights/{name}": a for name, a in checkpoint.weights.items()}
        np.savez_compressed(file, head=text, **arrays)
        file.flush()
        os.fsync(file.fileno())


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read and validate a checkpoint. Raises MemoptError if it is not one, is damaged, or has another version."""
    shown = Path(path)
    try:
        with np.load(shown, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
        head = json.loads(content.pop("head").tobytes())
        version = head["format"]
    except OSError as error:
        raise MemoptError(f"{shown}: checkpoint cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise _damaged(shown, "it is not an archive of arrays with a header") from error
    except Exception as error:  # zlib.error and others have no common base class
        raise _damaged(shown, str(error)) from error
    if version != FORMAT:
        raise MemoptError(f"{shown}: checkpoint has format {version!r}, expected {FORMAT!r}: retrain it")
    return _checked(shown, head, content)


def _checked(path: Path, head: Mapping[str, Any], content: Mapping[str, np.ndarray]) -> Checkpoint:
    if [tuple(head.get("features", ())), tuple(head.get("state_features", ()))] != [FEATURES, STATE_FEATURES]:
        raise MemoptError(f"{path}: checkpoint was trained on other features than this version computes: retrain it")
    try:
        config = ModelConfig(**head["config"])
    except (KeyError, TypeError) as error:
        raise _damaged(path, f"its configuration does not have the fields {', '.join(_config_fields())}") from error
    weights = {name.removeprefix("weights/"): array for name, array in content.items()}
    if {name: array.shape for name, array in weights.items()} != weight_shapes(config):
        raise _damaged(path, "its weights do not have the shapes of its configuration")
    if any(array.dtype != np.float32 or not np.isfinite(array).all() for array in weights.values()):
        raise _damaged(path, "its weights are not all finite 32-bit numbers")
    if _digest(config, weights) != head.get("digest"):
        raise _damaged(path, "its weights do not match its checksum")
    return Checkpoint(config, weights, head.get("story", {}))


def _damaged(path: Path, what: str) -> MemoptError:
    return MemoptError(f"{path}: checkpoint is damaged: {what}; reinstall the package, or retrain it")


def _config_fields() -> list[str]:
    return [f.name for f in fields(ModelConfig)]


def _digest(config: ModelConfig, weights: Weights) -> str:
    digest = hashlib.sha256(json.dumps(asdict(config), sort_keys=True).encode())
    for name in sorted(weights):
        digest.update(f"{name}{weights[name].shape}".encode())
        digest.update(np.ascontiguousarray(weights[name], "<f4").tobytes())
    return digest.hexdigest()


@cache
def shipped_checkpoint() -> Checkpoint:
    """Return the bundled checkpoint, which is read once. Raises MemoptError if it is missing or damaged."""
    return read_checkpoint(SHIPPED)

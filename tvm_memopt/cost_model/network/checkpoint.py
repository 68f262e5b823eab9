"""A trained network on disk: one .npz file of arrays with a JSON header, validated on reading. Needs only numpy."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tvm_memopt.atomic import atomic_path
from tvm_memopt.cost_model.features.columns import FEATURE_VERSION
from tvm_memopt.cost_model.network.card import Card
from tvm_memopt.cost_model.network.normalization import Normalization
from tvm_memopt.errors import MemoptError

FORMAT = "memopt-cost-model/1"
PRETRAINED = Path(__file__).parent / "pretrained" / "gcn.npz"
_IGNORED = ("num-cores", "tag", "keys")  # target attributes to ignore: times are those of one kernel thread


@dataclass(frozen=True)
class Checkpoint:
    """A trained network as arrays.

    ``architecture``: fields of gcn.Architecture. ``weights``: by parameter name. ``target``: JSON of the target the
    data was measured for. ``card``: how the network was trained, its metrics and curves.
    """

    architecture: dict[str, Any]
    weights: dict[str, np.ndarray]
    normalization: Normalization
    target: str
    card: Card = field(default_factory=Card)


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint by atomic rename."""
    header = {
        "format": FORMAT,
        "feature_version": FEATURE_VERSION,
        "architecture": checkpoint.architecture,
        "target": checkpoint.target,
        "card": checkpoint.card,
    }
    # Any, because numpy.savez also has keywords of other types.
    arrays: dict[str, Any] = {f"weight/{name}": values for name, values in checkpoint.weights.items()}
    arrays |= {f"mean/{name}": values for name, values in checkpoint.normalization.means.items()}
    arrays |= {f"deviation/{name}": values for name, values in checkpoint.normalization.deviations.items()}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, header=np.array(json.dumps(header)), **arrays)


def load_checkpoint(path: Path, target: str | None = None) -> Checkpoint:
    """Read a checkpoint. ``target``: JSON of the required target, or None for any.

    Raises MemoptError if the file is missing, damaged, or of another format, feature version or target.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            _check(path, header, target)
            arrays = {name: file[name] for name in file.files if name != "header"}
        return Checkpoint(
            dict(header["architecture"]), _under(arrays, "weight/"),
            Normalization(_under(arrays, "mean/"), _under(arrays, "deviation/")), header["target"], header["card"],
        )  # fmt: skip
    except OSError as error:
        raise MemoptError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        what = "not a numpy archive" if "pickle" in str(error) else str(error)  # numpy's message advises unsafe loading
        raise MemoptError(f"{path}: is not a checkpoint, or is damaged: {what}") from error


def same_target(one: str, other: str) -> bool:
    """Whether two targets, in JSON, produce the same code. The number of cores is ignored."""
    return _essence(one) == _essence(other)


def _check(path: Path, header: object, target: str | None) -> None:
    if not isinstance(header, Mapping) or header.get("format") != FORMAT:
        raise ValueError(f"expected the format {FORMAT}")
    version = header["feature_version"]
    if version != FEATURE_VERSION:
        raise MemoptError(
            f"{path}: is of feature version {version}, expected {FEATURE_VERSION}: train it again with "
            "'tvm-memopt train-cost-model'"
        )
    if target is not None and not same_target(target, header["target"]):
        raise MemoptError(
            f"{path}: was trained for target {header['target']}, expected {target}: collect on that target and train"
        )


def _essence(target: str) -> dict[str, object]:
    return {key: value for key, value in json.loads(target).items() if key not in _IGNORED}


def _under(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    found = {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
    if not found:
        raise ValueError(f"it has no {prefix.rstrip('/')}s")
    return {name: np.asarray(values, np.float32) for name, values in found.items()}

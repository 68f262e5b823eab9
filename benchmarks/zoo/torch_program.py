"""Export of torch modules with seeded random weights to programs on disk."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.zoo.cache import built
from benchmarks.zoo.model import Input, ZooModel

if TYPE_CHECKING:
    import torch

_RECIPE = 1  # raise when seeding, calibration or a network of ours changes, so that no stale file is read


def random_model(
    name: str,
    family: str,
    *,
    licence: str,
    package: str,
    inputs: Sequence[Input],
    build: Callable[[], torch.nn.Module],
    requires: Sequence[str] = (),
) -> ZooModel:
    """A model whose weights are drawn with torch's seed 0 and whose BatchNorm statistics fit one random batch."""
    source = partial(exported, name, tuple(requires), tuple(inputs), build, random_weights=True)
    return ZooModel(name, family, licence, package, tuple(inputs), source, ("torch", *requires), builds=True)


def exported(
    name: str,
    requires: Sequence[str],
    inputs: tuple[Input, ...],
    build: Callable[[], torch.nn.Module],
    *,
    random_weights: bool,
) -> Path:
    """The cached .pt2 file of ``build()`` in eval mode, exported for the inputs' static shapes.

    The versions of torch and of the packages in ``requires`` are part of the file's name.
    """
    versions = "-".join(f"{package}-{_version(package)}" for package in ("torch", *requires))
    return built(f"{name}-{versions}-r{_RECIPE}.pt2", partial(_write, build, inputs, random_weights))


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _write(build: Callable[[], torch.nn.Module], inputs: tuple[Input, ...], random_weights: bool, path: Path) -> None:
    import torch

    declare_torchvision_operators()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        module = build().eval()
        rng = np.random.default_rng(0)
        arguments = tuple(torch.from_numpy(np.asarray(item.draw(rng))) for item in inputs)
        if random_weights:
            calibrate_batchnorm(module, arguments)
        torch.export.save(torch.export.export(module, arguments), path)


def calibrate_batchnorm(module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
    """Give every BatchNorm the statistics of one batch; without it a deep random net's signal vanishes."""
    from torch.nn.modules.batchnorm import _BatchNorm

    norms = [item for item in module.modules() if isinstance(item, _BatchNorm)]
    momenta = [item.momentum for item in norms]
    for item in norms:
        item.train()
        item.momentum = 1.0
    module(*arguments)
    for item, momentum in zip(norms, momenta, strict=True):
        item.momentum = momentum
    module.eval()


@functools.cache
def declare_torchvision_operators() -> Any:
    """Make ``import torchvision`` work beside a CPU build of torch; returns what must stay alive for it, if anything.

    The wheel of the default index is a CUDA build whose operators do not load then, and its import fails on
    the missing ``torchvision::nms``. Declaring the two schemas that its Python code looks up is enough: no
    model of the set calls them. A build whose operators do load must not be declared over.
    """
    import torch

    if importlib.util.find_spec("torchvision") is None or _imports("torchvision"):
        return None
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # what the failed import left half initialised
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


def _imports(name: str) -> bool:
    try:
        importlib.import_module(name)
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        return False
    return True

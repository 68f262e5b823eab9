"""A table of models, devices and budgets, read from a TOML file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tvm_memopt import __version__
from tvm_memopt.errors import BudgetError, MemoptError
from tvm_memopt.graph import check_budget_syntax
from tvm_memopt.targets import DeviceProfile, device_profile
from tvm_memopt.toml_file import Table, read_toml

DEVICE_BUDGET = "device"


@dataclass(frozen=True)
class Settings:
    """Settings of all jobs. ``compile``: compile a module instead of planning alone."""

    time_limit: float
    seed: int
    threads: int
    compile: bool


@dataclass(frozen=True)
class Model:
    """A model file and its shapes. ``digest``: of its content."""

    name: str
    file: Path
    digest: str
    shapes: tuple[str, ...]
    override_shapes: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One model on one device within one budget; ``"device"`` is the device's memory.

    ``device_argument``: its name, or the path of its file.
    """

    model: Model
    device: DeviceProfile
    device_argument: str
    budget: str
    settings: Settings

    @property
    def key(self) -> str:
        """A file name that is the same for the same work: it holds a digest of all that the result depends on."""
        facts = [
            __version__, self.model.digest, self.model.shapes, self.model.override_shapes, asdict(self.device),
            self.budget, asdict(self.settings),
        ]  # fmt: skip
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:10]
        words = "--".join((self.model.name, self.device.name, self.budget.replace("%", "pct")))
        return f"{re.sub(r'[^A-Za-z0-9._-]+', '_', words)}--{digest}"

    def arguments(self) -> tuple[str, ...]:
        """The arguments of ``tvm-memopt`` for this cell."""
        settings, model = self.settings, self.model
        words = ["optimize", str(model.file), "-o", "module.so", "--plan", "plan.json"]
        if not settings.compile:
            words = ["plan", str(model.file), "-o", "plan.json"]
        words += ["--device", self.device_argument, "--report", "report", "--json"]
        words += ["--time-limit", f"{settings.time_limit:g}", "--seed", str(settings.seed)]
        words += ["--threads", str(settings.threads)]
        words += [word for shape in model.shapes for word in ("--shape", shape)]
        words += [word for shape in model.override_shapes for word in ("--override-shape", shape)]
        return (*words, *(("--budget", self.budget) if self.budget != DEVICE_BUDGET else ()))


def read_cells(path: Path) -> list[Cell]:
    """The cells of a file, models first. Raises MemoptError that names the file, the key and what was expected."""
    table = Table(path, read_toml(path))
    settings = Settings(
        table.number("time-limit", 10.0, least=0.001), int(table.number("seed", 0)), table.count("threads", 1),
        table.flag("compile", default=False),
    )  # fmt: skip
    devices, budgets = table.texts("devices"), table.texts("budgets") or (DEVICE_BUDGET,)
    entries = table.tables("models")
    table.finish()
    if not entries:
        raise MemoptError(f"{path}: has no model: expected tables [[models]] with a key file")
    cells = [cell for entry in entries for cell in _cells_of(entry, devices, budgets, settings)]
    _require_distinct(path, cells)
    return cells


def _cells_of(entry: Table, devices: tuple[str, ...], budgets: tuple[str, ...], settings: Settings) -> Iterator[Cell]:
    model = _model(entry)
    own_devices, own_budgets = entry.texts("devices") or devices, entry.texts("budgets") or budgets
    entry.finish()
    if not own_devices:
        raise MemoptError(f"{entry.path}: model {model.name!r} has no device: expected a key 'devices' with names")
    for name in own_devices:
        argument = str((entry.path.parent / name).resolve()) if name.endswith(".toml") else name
        profile = device_profile(argument)
        for budget in own_budgets:
            _check_budget(entry.path, budget)
            yield Cell(model, profile, argument, budget, settings)


def _model(entry: Table) -> Model:
    file = (entry.path.parent / entry.text("file")).resolve()
    name = entry.text("name", file.stem)
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise MemoptError(f"{entry.path}: key '{entry.where}file': {file}: {error.strerror or error}") from None
    return Model(name, file, digest, entry.texts("shapes"), entry.texts("override-shapes"))


def _check_budget(path: Path, budget: str) -> None:
    if budget == DEVICE_BUDGET:
        return
    try:
        check_budget_syntax(budget)
    except BudgetError as error:
        raise MemoptError(f"{path}: key 'budgets': {error}, or {DEVICE_BUDGET!r} for the device's memory") from None


def _require_distinct(path: Path, cells: list[Cell]) -> None:
    seen: dict[tuple[str, str, str], Cell] = {}
    for cell in cells:
        other = seen.setdefault((cell.model.name, cell.device.name, cell.budget), cell)
        if other is not cell:
            raise MemoptError(
                f"{path}: model {cell.model.name!r} on {cell.device.name} with budget {cell.budget} is there twice: "
                "give the models different names"
            )

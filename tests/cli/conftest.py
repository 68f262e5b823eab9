from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import Result, run_command
from tests.cli.small_models import two_branches
from tvm_memopt.cli.main import main
from tvm_memopt.errors import MemoptError

Command = Callable[..., Result]
FIVE_BUFFERS = Path(__file__).parents[2] / "docs" / "five_buffers.json"


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    """The command in this process; native code's own output is caught too."""

    return partial(run_command, capfd)


def _quietly(*arguments: object) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert ended.value.code == 0


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.onnx, open.onnx (dynamic batch), graph.json, plan.json (of the graph), module.so
    and model_plan.json (of the model), all made by the command. Read-only by agreement."""
    folder: Path = tmp_path_factory.mktemp("made")
    model = two_branches(folder / "model.onnx")
    two_branches(folder / "open.onnx", batch="batch")
    shutil.copy(FIVE_BUFFERS, folder / "graph.json")
    _quietly("plan", folder / "graph.json", "-o", folder / "plan.json")
    _quietly("optimize", model, "-o", folder / "module.so", "--plan", folder / "model_plan.json")
    return folder


@pytest.fixture
def edited(made: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of a JSON file of ``made`` after a function has changed its document."""

    def edit(name: str, change: Callable[[Any], object]) -> Path:
        document = json.loads((made / name).read_text())
        change(document)
        path = tmp_path / f"edited_{name}"
        path.write_text(json.dumps(document))
        return path

    return edit


@pytest.fixture(scope="session")
def interposer() -> Path:
    from tvm_memopt.runtime.interposer import build_interposer

    try:
        return build_interposer()
    except MemoptError as error:
        pytest.skip(str(error))

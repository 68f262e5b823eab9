from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from tests.cli.running import Result, run_command


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """The command in this process."""
    return partial(run_command, capfd)

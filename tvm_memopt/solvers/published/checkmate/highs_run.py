"""Linear and mixed-integer programmes on HiGHS: rows are added one by one, then the programme is solved once."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tvm_memopt.errors import MemoptError
from tvm_memopt.solvers.request import Deadline

_WORKER = Path(__file__).with_name("highs_worker.py")
_START_SECONDS = 0.5  # to start the process and return its answer
INFINITY = float("inf")


@dataclass
class LinearProgram:
    """Columns and rows of a minimisation problem. The relaxation treats ``integer`` columns as continuous."""

    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)
    integer: list[bool] = field(default_factory=list)
    row_lower: list[float] = field(default_factory=list)
    row_upper: list[float] = field(default_factory=list)
    starts: list[int] = field(default_factory=lambda: [0])
    columns: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def column(self, lower: float, upper: float, cost: float = 0.0, *, integer: bool = True) -> int:
        """Add a variable and return its index."""
        self.lower.append(lower)
        self.upper.append(upper)
        self.cost.append(cost)
        self.integer.append(integer)
        return len(self.lower) - 1

    def row(self, lower: float, terms: Iterable[tuple[int, float]], upper: float) -> None:
        """Add the row lower <= sum of coefficient * variable <= upper. A variable may occur more than once."""
        summed: dict[int, float] = {}
        for column, value in terms:
            summed[column] = summed.get(column, 0.0) + value
        self.row_lower.append(lower)
        self.row_upper.append(upper)
        self.columns += summed.keys()
        self.values += summed.values()
        self.starts.append(len(self.columns))

    def arrays(self) -> dict[str, np.ndarray]:
        """All fields as vectors, by name."""
        whole = {"starts", "columns"}
        return {
            x.name: np.array(getattr(self, x.name), np.int32 if x.name in whole else np.float64) for x in fields(self)
        }


@dataclass(frozen=True)
class HighsOutcome:
    """Result of HiGHS. ``bound``: a lower bound on the objective, up to its tolerances; ``values``: best solution."""

    status: Literal["optimal", "feasible", "infeasible", "unknown"]
    values: np.ndarray | None
    bound: float


def require_highs() -> None:
    """Raise MemoptError, with installation instructions, if HiGHS is missing."""
    if find_spec("highspy") is None:
        raise MemoptError("the Checkmate reference needs HiGHS: install it with `pip install highspy`")


def run_highs(program: LinearProgram, deadline: Deadline, *, threads: int, seed: int, relax: bool) -> HighsOutcome:
    """Solve ``program``, or its linear relaxation, in a process that is killed at ``deadline`` or on Ctrl-C.

    Raises MemoptError if that process fails.
    """
    options: dict[str, Any] = {
        "output_flag": False,
        "threads": threads,
        "random_seed": seed,
        "time_limit": max(deadline.remaining - _START_SECONDS, 0.01),
        "mip_rel_gap": 0.0,
    }
    task = pickle.dumps({"program": program.arrays(), "options": options, "relax": relax})
    pipe = subprocess.PIPE
    command = [sys.executable, str(_WORKER)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True) as process:
        try:
            answer, errors = process.communicate(task, timeout=deadline.remaining)
        except subprocess.TimeoutExpired:
            process.kill()
            return HighsOutcome("unknown", None, -INFINITY)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        last = errors.decode(errors="replace").strip().splitlines()[-1:]
        raise MemoptError(f"HiGHS ended with exit status {process.returncode}: {' '.join(last)}")
    return HighsOutcome(*pickle.loads(answer))

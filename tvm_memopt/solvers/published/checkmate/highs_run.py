"""Linear and mixed-integer programmes on HiGHS: rows as they come, one solve, a plain answer."""

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
_START_SECONDS = 0.5  # for the process to start and to hand its answer back
INFINITY = float("inf")


@dataclass
class LinearProgram:
    """Columns and rows of a minimisation; ``integer`` columns are dropped to reals in the relaxation."""

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
        """A new variable; returns its index."""
        self.lower.append(lower)
        self.upper.append(upper)
        self.cost.append(cost)
        self.integer.append(integer)
        return len(self.lower) - 1

    def row(self, lower: float, terms: Iterable[tuple[int, float]], upper: float) -> None:
        """lower <= sum of coefficient * variable <= upper; a variable may stand more than once."""
        summed: dict[int, float] = {}
        for column, value in terms:
            summed[column] = summed.get(column, 0.0) + value
        self.row_lower.append(lower)
        self.row_upper.append(upper)
        self.columns += summed.keys()
        self.values += summed.values()
        self.starts.append(len(self.columns))

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything as vectors, by field name."""
        whole = {"starts", "columns"}
        return {
            x.name: np.array(getattr(self, x.name), np.int32 if x.name in whole else np.float64) for x in fields(self)
        }


@dataclass(frozen=True)
class HighsOutcome:
    """``bound``: a lower bound on the objective, up to HiGHS's tolerances; ``values`` of the best solution."""

    status: Literal["optimal", "feasible", "infeasible", "unknown"]
    values: np.ndarray | None
    bound: float


def require_highs() -> None:
    """Raises MemoptError with the way to install HiGHS when it is not there."""
    if find_spec("highspy") is None:
        raise MemoptError("the Checkmate reference needs HiGHS: install it with `pip install highspy`")


def run_highs(program: LinearProgram, deadline: Deadline, *, threads: int, seed: int, relax: bool) -> HighsOutcome:
    """Solve ``program``, or its linear relaxation, in a process that is ended at ``deadline`` or on Ctrl-C.

    Raises MemoptError where that process fails.
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

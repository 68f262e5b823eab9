"""A process that solves one programme with HiGHS.

It is a separate process for two reasons. HiGHS may overrun its time limit by minutes, and a process can be killed.
Also, highspy and OR-tools contain clashing copies of HiGHS, and one process can load only one of them.

It runs as a script: it reads a pickled dictionary of arrays and options, and writes (status, values, bound). It imports
nothing from this package, so that it starts quickly.
"""

from __future__ import annotations

import os
import pickle
import sys
from importlib import import_module
from typing import Any

import numpy as np

highspy: Any = import_module("highspy")  # untyped


def solve(program: dict[str, Any], options: dict[str, Any], relax: bool) -> tuple[str, np.ndarray | None, float]:
    """Return (status, best values, lower bound). Status: "optimal", "feasible", "infeasible" or "unknown"."""
    highs = highspy.Highs()
    for name, value in options.items():
        highs.setOptionValue(name, value)
    highs.passModel(_model(program, relax))
    highs.run()
    status, info = highs.getModelStatus(), highs.getInfo()
    if status == highspy.HighsModelStatus.kInfeasible:
        return "infeasible", None, float("inf")
    found = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    optimal = status == highspy.HighsModelStatus.kOptimal
    values = np.array(highs.getSolution().col_value) if found else None
    relaxed = info.objective_function_value if optimal else -float("inf")
    bound = relaxed if relax else info.mip_dual_bound
    return "optimal" if optimal else "feasible" if found else "unknown", values, float(bound)


def _model(program: dict[str, Any], relax: bool) -> Any:
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(program["lower"]), len(program["row_lower"])
    model.col_cost_, model.col_lower_, model.col_upper_ = program["cost"], program["lower"], program["upper"]
    model.row_lower_, model.row_upper_ = program["row_lower"], program["row_upper"]
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_ = program["starts"]
    model.a_matrix_.index_ = program["columns"]
    model.a_matrix_.value_ = program["values"]
    if not relax:
        kinds = highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger
        model.integrality_ = [kinds[int(whole)] for whole in program["integer"]]
    return model


def main() -> None:
    """Write the answer to the original standard output; output of HiGHS itself goes to standard error."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    task = pickle.load(sys.stdin.buffer)
    pickle.dump(solve(**task), answer)
    answer.close()


if __name__ == "__main__":
    main()

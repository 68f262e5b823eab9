import subprocess
import sys

import pytest

SCRIPT = """
import sys
from tests.solvers.strategies import chain, diamond
from tvm_memopt.solvers import Request, solve
solve({graph}, Request(disabled=frozenset({disabled})))
print(*sorted({{"tvm", "ortools", "numpy"}} & set(sys.modules)))
"""


@pytest.mark.parametrize(("graph", "disabled"), [("chain(100)", "()"), ("diamond()", "()")])
def test_easy_graphs_are_planned_without_heavy_imports(graph: str, disabled: str) -> None:
    # hypothesis, which the strategies import, must not bring them either
    script = SCRIPT.format(graph=graph, disabled=disabled)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (run.returncode, run.stdout.strip()) == (0, ""), run.stderr

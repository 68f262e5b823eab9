"""A model of which nothing can be planned: its only function has been planned before."""

from __future__ import annotations

from pathlib import Path

TEXT = """
from tvm.script import ir as I
from tvm.script import relax as R

@I.ir_module
class Module:
    @R.function
    def main(x: R.Tensor((16, 64), "float32"), w: R.Tensor((64, 64), "float32")) -> R.Tensor((16, 64), "float32"):
        R.func_attr({"memopt.planned": 1})
        y = R.matmul(x, w)
        return R.nn.softmax(R.matmul(R.nn.softmax(y), w))
"""


def planned_before(folder: Path) -> Path:
    """The path of such a model in ``folder``."""
    path = folder / "planned_before.py"
    path.write_text(TEXT)
    return path

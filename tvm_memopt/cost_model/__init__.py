"""The graph-convolution performance model: programs, measurements, features and the network trained on them.

``GCNCostModel`` is imported on first use, because it needs TVM and torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tvm_memopt.cost_model.tuner.gcn_cost_model import GCNCostModel

__all__ = ["GCNCostModel"]


def __getattr__(name: str) -> type[GCNCostModel]:
    if name not in __all__:
        raise AttributeError(f"module 'tvm_memopt.cost_model' has no attribute {name!r}")
    try:
        from tvm_memopt.cost_model.tuner import gcn_cost_model
    except ModuleNotFoundError as error:
        from tvm_memopt.errors import MemoptError

        raise MemoptError(f"the cost model needs {error.name}: pip install 'tvm-memopt[learn]'") from error
    return gcn_cost_model.GCNCostModel

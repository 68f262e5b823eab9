"""The solvers: pure functions from a Graph and a Request to a Plan."""

from tvm_memopt.solvers.layout import Placement, place
from tvm_memopt.solvers.methods import METHODS, solve
from tvm_memopt.solvers.order import ORDERINGS, beam_search
from tvm_memopt.solvers.portfolio.fixed_order import plan_for_order
from tvm_memopt.solvers.request import Deadline, Progress, Request
from tvm_memopt.solvers.switches import SWITCHES

__all__ = [
    "METHODS",
    "ORDERINGS",
    "SWITCHES",
    "Deadline",
    "Placement",
    "Progress",
    "Request",
    "beam_search",
    "place",
    "plan_for_order",
    "solve",
]

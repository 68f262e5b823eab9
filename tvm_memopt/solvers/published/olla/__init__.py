"""OLLA: order and addresses as one integer programme, as published."""

from tvm_memopt.solvers.published.olla.solve import solve_olla
from tvm_memopt.solvers.published.olla.tricks import OLLA_SWITCHES

__all__ = ["OLLA_SWITCHES", "solve_olla"]

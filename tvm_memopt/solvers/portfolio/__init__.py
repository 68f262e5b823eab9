"""The portfolio: stages that work on one state, under one deadline."""

from tvm_memopt.solvers.portfolio.fixed_order import plan_for_order
from tvm_memopt.solvers.portfolio.solve import solve

__all__ = ["plan_for_order", "solve"]

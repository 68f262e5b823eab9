"""Checkmate: rematerialisation as a mixed-integer programme over stages, as published."""

from tvm_memopt.solvers.published.checkmate.solve import round_checkmate, solve_checkmate

__all__ = ["round_checkmate", "solve_checkmate"]

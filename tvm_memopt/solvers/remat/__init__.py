"""Rematerialisation: recompute ops so that their outputs need not be kept."""

from tvm_memopt.solvers.remat.result import RematResult

__all__ = ["RematResult"]

"""Rematerialisation: ops run again so that their outputs need not be held."""

from tvm_memopt.solvers.remat.result import RematResult

__all__ = ["RematResult"]

"""MOCCASIN: rematerialisation as constraint programming over retention intervals, as published."""

from tvm_memopt.solvers.published.moccasin.solve import solve_moccasin

__all__ = ["solve_moccasin"]

"""Offset assignment: greedy placement, exact placement, and lower bounds."""

from tvm_memopt.solvers.layout.load import load_bound
from tvm_memopt.solvers.layout.place import place, place_greedily, refine
from tvm_memopt.solvers.layout.placement import Placement, held_peak

__all__ = ["Placement", "held_peak", "load_bound", "place", "place_greedily", "refine"]

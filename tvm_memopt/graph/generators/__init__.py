"""Synthetic graphs: the layered benchmark family, and random DAGs that use every feature of the format."""

from tvm_memopt.graph.generators.layered import layered_graph
from tvm_memopt.graph.generators.random_graphs import random_graph

__all__ = ["layered_graph", "random_graph"]

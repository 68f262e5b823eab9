"""Shared by the tests of learned orders: networks with random weights, and graphs with all that they need."""

from dataclasses import dataclass

import numpy as np

from tvm_memopt.graph import Graph
from tvm_memopt.solvers.native.order.problem import PackedProblem, packed_problem
from tvm_memopt.solvers.order.learned.checkpoint import Checkpoint
from tvm_memopt.solvers.order.learned.config import ModelConfig, weight_shapes
from tvm_memopt.solvers.order.learned.features import node_features
from tvm_memopt.solvers.order.learned.neighbourhoods import Neighbourhoods, neighbourhoods
from tvm_memopt.solvers.order.learned.relations import relations_of

SMALL = ModelConfig(width=16, layers=2, heads=2, head_width=4)


def random_weights(config: ModelConfig, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(0, 0.3, shape).astype(np.float32) + np.float32(name.endswith("norm.weight"))
        for name, shape in weight_shapes(config).items()
    }


def random_checkpoint(config: ModelConfig = SMALL, seed: int = 0) -> Checkpoint:
    return Checkpoint(config, random_weights(config, seed), {"seed": seed})


@dataclass
class Prepared:
    graph: Graph
    problem: PackedProblem
    features: np.ndarray
    around: Neighbourhoods


def prepared(graph: Graph) -> Prepared:
    problem = packed_problem(graph)
    relations = relations_of(graph, problem)
    return Prepared(graph, problem, node_features(graph, problem, relations), neighbourhoods(relations))

"""Sizes of the network and the relations it attends along. Part of every checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from tvm_memopt.solvers.native.order.learned import STATE_FEATURES
from tvm_memopt.solvers.order.learned.features import FEATURES, LAPLACIAN_WIDTH

SPARSE = ("reduction_forward", "reduction_backward", "redundant_forward", "redundant_backward")
DENSE = ("closure_forward", "closure_backward", "incomparable")
EDGES = ("edge_forward", "edge_backward")


@dataclass(frozen=True)
class ModelConfig:
    """Configuration of the network.

    ``width``: size of the embedding of an op. ``layers``: number of layers.
    ``heads``: attention heads per relation, each of ``head_width`` numbers.
    ``transforms``: use the seven relations; otherwise only the edges, in both directions.
    ``encoding``: use the Laplacian positional encoding.
    ``state``: let scores depend on the state; otherwise they are priorities alone.
    """

    width: int = 64
    layers: int = 3
    heads: int = 2
    head_width: int = 8
    transforms: bool = True
    encoding: bool = True
    state: bool = True

    @property
    def sparse(self) -> tuple[str, ...]:
        """Relations stored as lists of edges."""
        return SPARSE if self.transforms else EDGES

    @property
    def dense(self) -> tuple[str, ...]:
        """Names of the relations that hold for a large share of all pairs of ops; none without ``transforms``."""
        return DENSE if self.transforms else ()

    @property
    def inputs(self) -> int:
        """Number of node feature columns used. The encoding comes last."""
        return len(FEATURES) - (0 if self.encoding else LAPLACIAN_WIDTH)

    @property
    def outputs(self) -> int:
        """Network outputs per op: its priority, and the weights of the state features."""
        return 1 + (len(STATE_FEATURES) if self.state else 0)

    @property
    def per_relation(self) -> int:
        """Size of one relation's contribution to an op."""
        return self.heads * self.head_width

    @property
    def projected(self) -> int:
        """Size of the projection: sparse relations have queries, keys and values; dense ones keys, values and gates."""
        dense = self.heads + 2 * self.per_relation
        return len(self.sparse) * 3 * self.per_relation + len(self.dense) * dense


def weight_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all weights."""
    width = config.width
    joined = (len(config.sparse) + len(config.dense)) * config.per_relation
    shapes = _linear("embed", config.inputs, width)
    for layer in range(config.layers):
        name = f"layers.{layer}"
        shapes |= _norm(f"{name}.norm", width) | _norm(f"{name}.norm_inner", width)
        shapes |= _linear(f"{name}.project", width, config.projected) | _linear(f"{name}.join", joined, width)
        shapes |= _linear(f"{name}.expand", width, 2 * width) | _linear(f"{name}.contract", 2 * width, width)
    return shapes | _norm("norm", width) | _linear("head", width, width) | _linear("score", width, config.outputs)


def _linear(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}

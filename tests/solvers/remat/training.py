"""A chain and its backward pass: op i makes t_i from t_(i-1); backward op i reads t_(i-1) and the gradient after it."""

from __future__ import annotations

from tvm_memopt.graph import Graph, Op, Tensor


def training_chain(length: int, nbytes: int = 100) -> Graph:
    """``length`` forward and ``length`` backward ops of cost 1; every tensor has ``nbytes``."""
    tensors = [Tensor(f"t{i}", nbytes) for i in range(length)]
    tensors += [Tensor(f"g{i}", nbytes) for i in reversed(range(length))]
    ops = [Op(f"f{i}", (i - 1,) if i else (), (i,), 1.0) for i in range(length)]
    for i in reversed(range(length)):
        made = 2 * length - 1 - i
        ops.append(Op(f"b{i}", tuple(t for t in (made - 1, i - 1) if t >= 0), (made,), 1.0))
    return Graph(f"training-chain-{length}", tuple(tensors), tuple(ops), (2 * length - 1,))

"""The relations in the form the network reads: for each relation, the ops that an op attends to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tvm_memopt.solvers.order.learned.relations import Relations

_KEPT_OPS = 4096  # up to this size, the closure stays unpacked between layers (64 MB)


@dataclass(frozen=True)
class EdgeList:
    """Op ``to[i]`` attends to op ``of[i]``; sorted by ``to``."""

    to: np.ndarray
    of: np.ndarray
    ops: int

    @cached_property
    def _segments(self) -> tuple[np.ndarray, np.ndarray]:
        """The start of each op's run of edges, and the ops that have any."""
        counts = np.bincount(self.to, minlength=self.ops)
        filled = np.flatnonzero(counts)
        return np.concatenate([[0], np.cumsum(counts)])[filled], filled

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return (ops x columns): ``values`` (edges x columns) summed for each op; zeros for ops without edges."""
        result = np.zeros((self.ops, values.shape[1]), values.dtype)
        starts, filled = self._segments
        if len(filled):
            result[filled] = np.add.reduceat(values, starts, axis=0)
        return result


@dataclass(frozen=True)
class Neighbourhoods:
    """Edge ``lists`` by relation, the ``relations`` with the closure, and neighbour ``counts`` of dense relations."""

    relations: Relations
    lists: Mapping[str, EdgeList]
    counts: Mapping[str, np.ndarray]

    @cached_property
    def _kept(self) -> list[tuple[int, int, np.ndarray]]:
        return list(self.relations.slices())

    def closure_sums(self, above: np.ndarray, below: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sum the rows of ``above`` over each op's ancestors, and those of ``below`` over its descendants."""
        up, down = np.zeros_like(above), np.zeros_like(below)
        few = self.relations.ops <= _KEPT_OPS
        for first, last, rows in self._kept if few else self.relations.slices():
            up[first:last] = rows @ above
            down += rows.T @ below[first:last]
        return up, down


def neighbourhoods(relations: Relations) -> Neighbourhoods:
    """Compute the ops that each op attends to."""
    n, redundant = relations.ops, relations.redundant
    lists = {}
    for name, chosen in (("edge", redundant | True), ("reduction", ~redundant), ("redundant", redundant)):
        sources, targets = relations.sources[chosen], relations.targets[chosen]
        by_source = np.argsort(sources, kind="stable")
        lists[f"{name}_forward"] = EdgeList(targets, sources, n)
        lists[f"{name}_backward"] = EdgeList(sources[by_source], targets[by_source], n)
    ancestors, descendants = np.zeros(n), np.zeros(n)
    for first, last, rows in relations.slices():
        ancestors[first:last] = rows.sum(axis=1)
        descendants += rows.sum(axis=0)
    counts = {
        "closure_forward": ancestors - np.bincount(relations.targets, minlength=n),
        "closure_backward": descendants - np.bincount(relations.sources, minlength=n),
        "incomparable": n - 1 - ancestors - descendants,
    }
    return Neighbourhoods(relations, lists, counts)

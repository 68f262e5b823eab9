"""Laplacian positional encoding: the position of an op in the graph, independent of how the ops are numbered.

It consists of the eigenvectors of the smallest non-zero eigenvalues of the normalised Laplacian I - D^-1/2 A D^-1/2 of
the undirected graph (Dwivedi and Bresson 2021). They are computed by subspace iteration with a Chebyshev filter (Zhou
and Saad 2007) and a fixed number of steps, so that the work is O(edges) and every run gives the same result. On long
thin graphs, whose eigenvalues are close together, the vectors are smooth mixtures of the true ones, which work as well.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Multiply = Callable[[np.ndarray], np.ndarray]

_FILTER_DEGREE = 8
_ROUNDS = 5
_SPARE = 3  # additional columns: the last ones converge slowly
_UPPER = 2.0  # no eigenvalue of a normalised Laplacian is larger
_FIRST_CUT = 0.5  # of the filter: eigenvalues above it are damped


def laplacian_encoding(sources: np.ndarray, targets: np.ndarray, depth: np.ndarray, width: int) -> np.ndarray:
    """Return (ops x ``width``) float32: orthogonal columns of mean square 1, or zeros if the graph has fewer.

    ``sources``, ``targets``: the edges. ``depth`` (ops): determines the signs.
    """
    n = len(depth)
    if n < 2:
        return np.zeros((n, width), np.float32)
    multiply = _adjacency(sources, targets, n)
    kept = min(width, n - 1)
    basis = _start(n, min(n, kept + 1 + _SPARE))
    cut = _FIRST_CUT
    for _ in range(_ROUNDS):
        basis, largest = _ritz(multiply, _filtered(multiply, basis, cut))
        cut = min(max(largest, 1e-3), 1.0)
    found = basis[:, 1 : kept + 1]  # the first is constant up to degrees
    found = found * np.where(depth @ found < 0, -1.0, 1.0)
    result = np.zeros((n, width))
    result[:, : found.shape[1]] = found * np.sqrt(n)
    return result.astype(np.float32)


def _adjacency(sources: np.ndarray, targets: np.ndarray, n: int) -> Multiply:
    """The function x -> D^-1/2 A D^-1/2 x of matrices (n x k)."""
    rows, columns = np.concatenate([targets, sources]), np.concatenate([sources, targets])
    by_row = np.argsort(rows, kind="stable")
    rows, columns = rows[by_row], columns[by_row]
    degree = np.bincount(rows, minlength=n)
    scale = 1 / np.sqrt(np.maximum(degree, 1))
    weights = (scale[rows] * scale[columns])[:, None]
    filled = np.flatnonzero(degree)
    starts = np.cumsum(np.concatenate([[0], degree]))[filled]

    def multiply(x: np.ndarray) -> np.ndarray:
        result = np.zeros_like(x)
        if len(filled):
            result[filled] = np.add.reduceat(x[columns] * weights, starts, axis=0)
        return result

    return multiply


def _start(n: int, columns: int) -> np.ndarray:
    """The same random directions on every run."""
    return np.linalg.qr(np.random.default_rng(0).standard_normal((n, columns)))[0]


def _filtered(multiply: Multiply, basis: np.ndarray, cut: float) -> np.ndarray:
    """``basis`` times a Chebyshev polynomial of the Laplacian that is small on eigenvalues above ``cut``."""
    centre, half = (_UPPER + cut) / 2, (_UPPER - cut) / 2

    def shifted(x: np.ndarray) -> np.ndarray:
        moved: np.ndarray = ((1 - centre) * x - multiply(x)) / half
        return moved

    before, now = basis, shifted(basis)
    for _ in range(_FILTER_DEGREE - 1):
        before, now = now, 2 * shifted(now) - before
        size = np.abs(now).max()
        before, now = before / size, now / size
    return now


def _ritz(multiply: Multiply, basis: np.ndarray) -> tuple[np.ndarray, float]:
    """The best eigenvectors in the span of ``basis``, smallest eigenvalue first, and the largest eigenvalue."""
    basis = np.linalg.qr(basis)[0]
    values, mix = np.linalg.eigh(-(basis.T @ multiply(basis)))
    return basis @ mix, float(1 + values[-1])

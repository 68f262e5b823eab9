"""Tests of a schedule that need no prediction. A search finds the programs on which the network errs most."""

from __future__ import annotations

import numpy as np

from tvm_memopt.cost_model.features.columns import ARITHMETIC, STATEMENT
from tvm_memopt.cost_model.features.extract import Graphs

MOST_INSTRUCTIONS = 20_000
"""Instructions after unrolling. LLVM's time grows faster than linearly beyond."""
MOST_MATH_COPIES = 256
"""Copies of a call such as exp after unrolling and vectorizing; each one becomes tens of instructions."""
MOST_VECTOR_NBYTES = 512
"""Bytes of one vector operation: sixteen registers of 32 bytes, all that AVX2 has."""
MOST_RECOMPUTATION = 8.0
"""How often a stage may compute each of its elements."""
MOST_INNER_NBYTES = 2**21
"""Bytes that the innermost loop of the heaviest statement may touch: a second-level cache."""

_COLUMN = {name: number for number, name in enumerate(STATEMENT)}


def sound(graphs: Graphs) -> np.ndarray:
    """Which graphs pass all guards, bool [graphs]. ``graphs``: with raw values, as extract returns them."""
    rows = graphs.nodes["statement"]
    owner, count = graphs.graph_of("statement"), len(graphs)
    instructions = np.bincount(owner, _instructions(rows), count)
    fine = (_math_copies(rows) <= MOST_MATH_COPIES) & (_of(rows, "recompute") <= MOST_RECOMPUTATION)
    fine &= _of(rows, "vector_extent") * _of(rows, "item_nbytes") <= MOST_VECTOR_NBYTES
    fine &= ~_heaviest(rows, owner, count) | (_of(rows, "nest1_nbytes") <= MOST_INNER_NBYTES)
    broken = np.bincount(owner, ~fine, count)
    return np.asarray((instructions <= MOST_INSTRUCTIONS) & (broken == 0))


def _of(rows: np.ndarray, column: str) -> np.ndarray:
    return np.asarray(rows[:, _COLUMN[column]])


def _operations(rows: np.ndarray) -> np.ndarray:
    """Operations and loads in one execution of each statement."""
    return np.asarray(rows[:, [_COLUMN[name] for name in ARITHMETIC]].sum(axis=1))


def _copies(rows: np.ndarray) -> np.ndarray:
    """Copies of each statement after unrolling, explicit or by a pragma's limit on the steps."""
    implicit = np.minimum(_of(rows, "auto_unroll"), _of(rows, "iterations"))
    return np.asarray(np.maximum(np.maximum(_of(rows, "unrolled_extent"), implicit), 1.0))


def _instructions(rows: np.ndarray) -> np.ndarray:
    operations = _operations(rows) + 1.0  # and the store
    parts = np.maximum(_of(rows, "vector_extent") * _of(rows, "item_nbytes") / 32.0, 1.0)
    return np.asarray(_copies(rows) * operations * parts)


def _math_copies(rows: np.ndarray) -> np.ndarray:
    return np.asarray(_of(rows, "float_math") * _copies(rows) * np.maximum(_of(rows, "vector_extent"), 1.0))


def _heaviest(rows: np.ndarray, owner: np.ndarray, count: int) -> np.ndarray:
    """Whether a statement does at least a tenth of the work of its program."""
    work = _of(rows, "iterations") * _operations(rows)
    total = np.bincount(owner, work, count)
    return np.asarray(work >= 0.1 * total[owner])

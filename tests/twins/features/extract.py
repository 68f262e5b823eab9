"""Graphs of scheduled modules in plain Python: what the native walk is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tvm

from tests.twins.features.graph_rows import rows_of
from tests.twins.features.walk import walk
from tvm_memopt.cost_model.features.columns import EDGE_COLUMNS, NODE_COLUMNS
from tvm_memopt.cost_model.features.extract import Graphs, assemble


def extract_slowly(mods: Sequence[tvm.IRModule]) -> Graphs:
    """As ``extract``."""
    found = [rows_of(walk(mod)) for mod in mods]
    parts = []
    widths = list(map(len, NODE_COLUMNS.values()))
    for name, width in zip(("statements", "loops", "buffers"), widths, strict=True):
        tables = [getattr(rows, name) for rows in found]
        parts.append((_matrix([row for table in tables for row in table], width), np.zeros((2, 0)), _starts(tables)))
    for name, key in zip(("feeds", "contains", "nests", "reads", "writes"), EDGE_COLUMNS, strict=True):
        tables = [getattr(rows, name) for rows in found]
        edges = [edge for table in tables for edge in table]
        ends = np.array([edge[:2] for edge in edges], np.int32).reshape(-1, 2).T
        values = _matrix([edge[2] for edge in edges], len(EDGE_COLUMNS[key]))
        parts.append((values, ends, _starts(tables)))
    return assemble(parts)


def _matrix(rows: list[list[float]], width: int) -> np.ndarray:
    return np.array(rows, np.float64).reshape(len(rows), width)


def _starts(tables: Sequence[Sequence[Any]]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum([len(table) for table in tables])]).astype(np.int64)

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tvm_memopt.errors import MemoptError
from tvm_memopt.runtime.interposer import build_interposer

from .arena_modules import ArenaBuild, attention_block, build_stock, build_with_arena, conv_chain


@dataclass(frozen=True)
class Builds:
    """One network, built by TVM alone and in an arena, in both modes of the virtual machine."""

    inputs: list[np.ndarray]
    stock: dict[str, Path]
    arena: dict[str, ArenaBuild]


def _both_modes(module, shape, folder: Path) -> Builds:
    inputs = [np.random.default_rng(0).standard_normal(shape).astype("float32")]
    modes = ("bytecode", "compiled")
    return Builds(
        inputs=inputs,
        stock={mode: build_stock(module, folder / f"stock_{mode}.so", mode) for mode in modes},
        arena={mode: build_with_arena(module, folder / f"arena_{mode}.so", mode) for mode in modes},
    )


@pytest.fixture(scope="session")
def conv_builds(tmp_path_factory) -> Builds:
    return _both_modes(conv_chain(), (1, 8, 16, 16), tmp_path_factory.mktemp("conv"))


@pytest.fixture(scope="session")
def attention_builds(tmp_path_factory) -> Builds:
    return _both_modes(attention_block(), (16, 32), tmp_path_factory.mktemp("attention"))


@pytest.fixture(scope="session")
def interposer() -> Path:
    try:
        return build_interposer()
    except MemoptError as error:
        pytest.skip(str(error))

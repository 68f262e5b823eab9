"""Kernels that are compiled and run with an input and the output overlapping in one array."""

from __future__ import annotations

import numpy as np
import tvm_ffi
from tvm import tirx

from tests.passes.tir.running import compiled, poison, random_array
from tvm_memopt.passes.tir.overlap import overlap_input

ALIGNMENT = 64


def outputs_apart_and_overlapping(
    func: tirx.PrimFunc, source: int, target: int, shift: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The output of a flat kernel on memory of its own, and with the input ``shift`` bytes above it."""
    generator = np.random.default_rng(seed)
    arrays = [poison(p) if i == target else random_array(p, generator) for i, p in enumerate(func.params)]
    apart = [aligned(a) for a in arrays]
    compiled(func)(*map(tvm_ffi.from_dlpack, apart))
    low = max(0, -shift)
    memory = _memory(max(low + arrays[target].nbytes, low + shift + arrays[source].nbytes))
    together = [aligned(a) for a in arrays]
    for position, at in ((target, low), (source, low + shift)):
        given = arrays[position]
        together[position] = memory[at : at + given.nbytes].view(given.dtype).reshape(given.shape)
    together[target][...] = arrays[target]
    together[source][...] = arrays[source]
    compiled(overlap_input(func, source, target, shift))(*map(tvm_ffi.from_dlpack, together))
    return apart[target], together[target]


def aligned(array: np.ndarray) -> np.ndarray:
    """A copy of ``array`` at an aligned address."""
    copy = _memory(array.nbytes)[: array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def _memory(nbytes: int) -> np.ndarray:
    whole = np.zeros(nbytes + 2 * ALIGNMENT, np.uint8)
    start = -whole.ctypes.data % ALIGNMENT
    return whole[start : start + nbytes + ALIGNMENT]

"""The native order searches. Orders are int32 vectors; each search modifies a window of one in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from tvm_memopt.solvers.native import library
from tvm_memopt.solvers.native.order.problem import PackedProblem

LARGEST = 2**62
UNLIMITED = 2**62
WORK_PER_SECOND = 300_000_000  # speed of decide(), approximately


class Construction(IntEnum):
    """The native constructive orders. RANDOM draws each next op uniformly from the ready ones."""

    KAHN = 0
    DFS = 1
    GREEDY_PEAK = 2
    GREEDY_DELTA = 3
    REVERSE_PEAK = 4
    REVERSE_DELTA = 5
    RANDOM = 6


class Verdict(IntEnum):
    """Whether an order within a budget exists."""

    INFEASIBLE = 0
    FEASIBLE = 1
    UNKNOWN = 2


@dataclass(frozen=True)
class Window:
    """Steps ``first`` to ``last`` - 1 of an order, which a search may rearrange."""

    first: int
    last: int


@dataclass(frozen=True)
class DecideOptions:
    """Techniques and limits of ``decide``.

    ``safe_moves``: immediately run an op that does not increase the live bytes.
    ``valleys``: never backtrack past a set that holds no more than any set on the way to it.
    ``both_ends``: search from the end as well, and cut off the part that either end settles.
    ``forcing``: add precedences that minimum cuts force under the budget.
    ``branching``: if all this leaves it undecided, try both orders of a pair of ops.
    ``states``, ``memory_nbytes``: most states, and most bytes for them.
    ``work``: elementary steps, the same on every run; about WORK_PER_SECOND of them take a second.
    """

    safe_moves: bool = True
    valleys: bool = True
    both_ends: bool = True
    forcing: bool = False
    branching: bool = True
    states: int = UNLIMITED
    memory_nbytes: int = 2**30
    work: int = UNLIMITED


@dataclass(frozen=True)
class AnnealOptions:
    """Options of ``anneal``.

    ``smooth``: weigh all steps near the peak, not the peak alone.
    ``block_moves``: let an op push a neighbour.
    ``hot``, ``cold``: first and last temperature, as fractions of the initial peak.
    ``moves``: number of moves to try.
    ``target``: stop at this peak, in bytes.
    """

    smooth: bool = True
    block_moves: bool = True
    hot: float = 0.01
    cold: float = 0.00003
    moves: int = 100_000
    seed: int = 0
    target: int = 0


def order_vector(order: Sequence[int] | np.ndarray) -> np.ndarray:
    """``order`` as the int32 vector that the searches take."""
    return np.require(order, np.int32, ["C", "W"])


def new_flag() -> np.ndarray:
    """Create an interrupt flag. Set its element to 1 to end a search."""
    return np.zeros(1, np.int32)


def profile(problem: PackedProblem, order: np.ndarray) -> np.ndarray:
    """Live bytes at each step. Raises RuntimeError if ``order`` breaks a dependence."""
    held = np.zeros(problem.ops, np.int64)
    library().order_profile(problem.index, problem.bytes, order, held)
    return held


def forced_cuts(problem: PackedProblem, order: np.ndarray) -> list[int]:
    """The steps before which every order has run the same ops, including 0 and the number of ops."""
    cuts = np.zeros(problem.ops + 2, np.int32)
    count = library().order_cuts(problem.index, problem.bytes, order, cuts)
    return list(dict.fromkeys(cuts[:count].tolist()))


def construct(
    problem: PackedProblem,
    how: Construction,
    *,
    seed: int = 0,
    repeats: int = 1,
    seconds: float = 1e9,
    flag: np.ndarray | None = None,
) -> tuple[np.ndarray, int]:
    """Return (order, peak): the best of ``repeats`` orders built in one way, or of fewer if time runs out."""
    order = np.arange(problem.ops, dtype=np.int32)
    flag = new_flag() if flag is None else flag
    peak = library().order_construct(problem.index, problem.bytes, order, int(how), seed, repeats, seconds, flag)
    return order, int(peak)


def step_bound(
    problem: PackedProblem, order: np.ndarray, window: Window, work: int, seconds: float, flag: np.ndarray
) -> tuple[int, int]:
    """Return (bound, work done): a lower bound on the peak within the window, over all orders of its ops.

    It takes a minimum cut per op, heaviest steps first.
    """
    done = np.zeros(1, np.int64)
    arguments = problem.index, problem.bytes, order, window.first, window.last, work, seconds, flag, done
    return int(library().order_bound(*arguments)), int(done[0])


def decide(
    problem: PackedProblem,
    order: np.ndarray,
    window: Window,
    budget: int,
    options: DecideOptions,
    seconds: float,
    flag: np.ndarray,
) -> tuple[Verdict, int, int]:
    """Return (verdict, lower bound or 0, work done): is there an order of the window within ``budget`` bytes?

    If so, it is written to ``order``.
    """
    switches = options.safe_moves, options.valleys, options.both_ends, options.forcing, options.branching
    packed = np.array([*switches, options.states, options.memory_nbytes, options.work], np.int64)
    results = np.zeros(2, np.int64)
    arguments = problem.index, problem.bytes, order, window.first, window.last, budget, packed, seconds, flag, results
    return Verdict(library().order_decide(*arguments)), int(results[1]), int(results[0])


def anneal(
    problem: PackedProblem, order: np.ndarray, window: Window, options: AnnealOptions, seconds: float, flag: np.ndarray
) -> tuple[int, int]:
    """Return (peak of the window, moves tried). The best order found by annealing is written to ``order``."""
    packed = np.array([options.smooth, options.block_moves, options.moves, options.seed, options.target], np.int64)
    moves = np.zeros(1, np.int64)
    peak = library().order_anneal(
        problem.index,
        problem.bytes,
        order,
        window.first,
        window.last,
        packed,
        options.hot,
        options.cold,
        seconds,
        flag,
        moves,
    )
    return int(peak), int(moves[0])

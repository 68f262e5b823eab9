"""The native ordering searches. Orders are int32 vectors; each search works on a window of one, in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from tvm_memopt.solvers.native import library
from tvm_memopt.solvers.native.order.problem import PackedProblem

LARGEST = 2**62
UNLIMITED = 2**62
WORK_PER_SECOND = 300_000_000  # of decide(), roughly


class Construction(IntEnum):
    """The native constructive orders; RANDOM draws each next op evenly from the ready ones."""

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
    """Steps ``first`` to ``last`` - 1 of an order: what a search may rearrange."""

    first: int
    last: int


@dataclass(frozen=True)
class DecideOptions:
    """Search tricks of ``decide``, and its limits.

    ``safe_moves``: run at once what leaves no more live bytes than it found.
    ``valleys``: from a set that holds as little as any on the way, never look back.
    ``both_ends``: search from the end as well, and cut off what either end settles.
    ``forcing``: precedences that minimum cuts force under the budget.
    ``branching``: where all that leaves it open, try both orders of a pair of ops.
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
    """``smooth``: weigh all steps near the peak, not the peak alone. ``block_moves``: an op may push a neighbour on.

    ``hot`` and ``cold``: first and last temperature as shares of the starting peak. ``moves``: how many to try.
    """

    smooth: bool = True
    block_moves: bool = True
    hot: float = 0.01
    cold: float = 0.00003
    moves: int = 100_000
    seed: int = 0
    target: int = 0


def order_vector(order: Sequence[int] | np.ndarray) -> np.ndarray:
    """``order`` as the vector that the searches take."""
    return np.require(order, np.int32, ["C", "W"])


def new_flag() -> np.ndarray:
    """An interrupt flag: set its element to 1 to end a search."""
    return np.zeros(1, np.int32)


def profile(problem: PackedProblem, order: np.ndarray) -> np.ndarray:
    """Bytes held at each step. Raises RuntimeError when ``order`` breaks a dependence."""
    held = np.zeros(problem.ops, np.int64)
    library().order_profile(problem.index, problem.bytes, order, held)
    return held


def forced_cuts(problem: PackedProblem, order: np.ndarray) -> list[int]:
    """The steps before which every order has run the same ops, 0 and the number of ops included."""
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
    """(order, peak): the best of ``repeats`` orders made one way, fewer when the seconds run out."""
    order = np.arange(problem.ops, dtype=np.int32)
    flag = new_flag() if flag is None else flag
    peak = library().order_construct(problem.index, problem.bytes, order, int(how), seed, repeats, seconds, flag)
    return order, int(peak)


def step_bound(
    problem: PackedProblem, order: np.ndarray, window: Window, work: int, seconds: float, flag: np.ndarray
) -> tuple[int, int]:
    """(bound, work done): no order of the window's ops has a smaller peak within it.

    Per op a minimum cut, heaviest steps first.
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
    """(verdict, lower bound or 0, work done): is there an order of the window within ``budget``?

    If so, ``order`` becomes one.
    """
    switches = options.safe_moves, options.valleys, options.both_ends, options.forcing, options.branching
    packed = np.array([*switches, options.states, options.memory_nbytes, options.work], np.int64)
    results = np.zeros(2, np.int64)
    arguments = problem.index, problem.bytes, order, window.first, window.last, budget, packed, seconds, flag, results
    return Verdict(library().order_decide(*arguments)), int(results[1]), int(results[0])


def anneal(
    problem: PackedProblem, order: np.ndarray, window: Window, options: AnnealOptions, seconds: float, flag: np.ndarray
) -> tuple[int, int]:
    """(peak of the window, moves tried): ``order`` becomes the best that annealing from it has seen."""
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

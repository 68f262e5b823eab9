"""What to keep and what to make again at given prices of memory, as a minimum cut.

A tensor that the late part of an order wants is either kept from its last early read to its first late one, which costs
its bytes times the summed prices of the steps between, or its producer runs again, which costs that op's time and makes
what it reads wanted too. The least sum of both is a minimum cut; torch's partitioner of joint graphs (Horace He and
Shangdi Yu, 2022) cuts in the same way, without prices over time.
"""

from __future__ import annotations

import numpy as np

from tvm_memopt.solvers.remat.division import Division, LazySchedule

_UNITS = 2**36  # of cost, for the cost of every op once
_INFINITE = 2**50


class KeepCut:
    """The cuts of one division. ``runnable``: per early op, whether it may run again; the caller may forbid more."""

    def __init__(self, division: Division) -> None:
        self.division = division
        graph, early = division.graph, division.order[: division.step]
        self.unit = (graph.base_cost or 1.0) / _UNITS
        self.costs = np.array([graph.ops[op].cost for op in early], np.float64)
        self.runnable = np.array([graph.ops[op].recomputable for op in early], bool)
        pairs = [(at, tensor) for at in range(division.step) for tensor in division.reads[at]]
        self.reader, self.read = np.array(pairs, np.int64).reshape(-1, 2).T
        self.tensor_node = 2 + np.arange(len(division.tensors))
        self.op_node = 2 + len(division.tensors) + np.arange(division.step)

    def again(self, prices: np.ndarray, weights: np.ndarray, before: LazySchedule, ran: set[int]) -> set[int]:
        """Places of the early ops that are best run again.

        ``prices``: of a byte at each place of the order. ``weights``: factors on tensors' bytes. ``before`` is the
        schedule of the ops ``ran``: the cut takes the reads to stay where they are in it, so it is to be repeated.
        """
        division = self.division
        summed = np.concatenate([[0.0], np.cumsum(prices)])
        end = len(division.order)
        first = np.minimum(self._supposed_reads(before), end)
        kept = summed[first] - summed[np.minimum(division.last_early + 1, first)]
        until = np.minimum(np.where(division.wanted, division.first_late, np.maximum(before.last, first)), end)
        early = division.nbytes * np.maximum(0.0, summed[until] - summed[first])  # made before the order reads it
        repeated = np.isin(division.made_at, list(ran))
        joint = repeated[self.read] & np.isin(self.reader, list(ran)) & division.wanted[self.read]
        charge = np.bincount(self.reader[joint], early[self.read[joint]], minlength=division.step)
        held = np.where(division.wanted, 0.0, early)
        return self._solve(division.nbytes * weights * kept, held, self.costs + charge)

    def _solve(self, keep: np.ndarray, held: np.ndarray, costs: np.ndarray) -> set[int]:
        from ortools.graph.python import max_flow

        wanted = self.tensor_node[self.division.wanted]
        tails = [np.zeros(len(wanted), np.int64), self.tensor_node, self.tensor_node]
        heads = [wanted, self.op_node[self.division.made_at], np.ones(len(keep), np.int64)]
        capacities = [np.full(len(wanted), _INFINITE), self._units(keep), self._units(held)]
        tails += [self.op_node, self.op_node[self.reader]]
        heads += [np.ones(len(costs), np.int64), self.tensor_node[self.read]]
        capacities += [np.where(self.runnable, self._units(costs), _INFINITE), np.full(len(self.reader), _INFINITE)]
        flow = max_flow.SimpleMaxFlow()
        flow.add_arcs_with_capacity(np.concatenate(tails), np.concatenate(heads), np.concatenate(capacities))
        if flow.solve(0, 1) != flow.OPTIMAL:
            return set()
        side = np.zeros(2 + len(keep) + len(costs), bool)
        side[flow.get_source_side_min_cut()] = True
        return set(np.flatnonzero(side[self.op_node]).tolist())

    def _units(self, costs: np.ndarray) -> np.ndarray:
        return np.minimum(costs / self.unit, _INFINITE - 1).astype(np.int64)

    def _supposed_reads(self, before: LazySchedule) -> np.ndarray:
        """Per tensor the first late read; of what is not read, that by its reader, if that were to run again."""
        division = self.division
        first: list[int] = before.first.tolist()
        read = (before.first < division.never).tolist()
        for at in reversed(range(division.step)):
            run = min((first[tensor] for tensor in division.writes[at]), default=division.never)
            for tensor in division.reads[at]:
                if run < first[tensor] and not read[tensor]:
                    first[tensor] = run
        return np.array(first, np.int64)

"""Which tensors to keep and which to recompute at given prices of memory, as a minimum cut.

A tensor that the late part of an order needs can be kept from its last early read to its first late one. This costs its
bytes times the sum of the prices of the steps between. Otherwise its producer runs again, which costs that op's time
and makes its inputs needed too. The minimum of the total is a minimum cut. The partitioner of joint graphs in torch
(Horace He and Shangdi Yu, 2022) cuts in the same way, without prices over time.
"""

from __future__ import annotations

import numpy as np

from tvm_memopt.solvers.remat.cuts.division import Division, LazySchedule

_UNITS = 2**36  # cost units of the cost with every op once
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
        """Return the positions of the early ops that are best run again.

        ``prices``: price of a byte at each position of the order.
        ``weights``: factors on the bytes of tensors.
        ``before``: the schedule in which the ops ``ran`` run again. The cut assumes that reads stay where they are in
        it, so the call is to be repeated.
        """
        division = self.division
        summed = np.concatenate([[0.0], np.cumsum(prices)])
        end = len(division.order)
        first = np.minimum(self._supposed_reads(before), end)
        kept = summed[first] - summed[np.minimum(division.last_early + 1, first)]
        until = np.minimum(np.where(division.wanted, division.first_late, np.maximum(before.last, first)), end)
        early = division.nbytes * np.maximum(0.0, summed[until] - summed[first])  # written before the order reads it
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
        """The first late read of each tensor. For an unread one, that of its reader, if that were to run again."""
        division = self.division
        first: list[int] = before.first.tolist()
        read = (before.first < division.never).tolist()
        for at in reversed(range(division.step)):
            run = min((first[tensor] for tensor in division.writes[at]), default=division.never)
            for tensor in division.reads[at]:
                if run < first[tensor] and not read[tensor]:
                    first[tensor] = run
        return np.array(first, np.int64)

"""Hypothesis strategies: random graphs, and schedules of them with repeated ops."""

from __future__ import annotations

import random

from hypothesis import strategies as st

from tvm_memopt.graph import Graph, random_graph

SEEDS = st.integers(0, 2**32 - 1)


def graphs(max_ops: int = 12, max_nbytes: int = 200) -> st.SearchStrategy[Graph]:
    return st.builds(lambda n, seed: random_graph(n, seed=seed, max_nbytes=max_nbytes), st.integers(0, max_ops), SEEDS)


def scheduled_graphs(max_ops: int = 12, repeats: int = 4) -> st.SearchStrategy[tuple[Graph, tuple[int, ...]]]:
    return st.builds(
        lambda graph, seed: (graph, random_schedule(graph, random.Random(seed), repeats)), graphs(max_ops), SEEDS
    )


def random_schedule(graph: Graph, rng: random.Random, repeats: int = 0) -> tuple[int, ...]:
    """A uniform choice among the ready ops at each step; ``repeats`` ops are then run again somewhere."""
    waiting = [len(before) for before in graph.predecessors]
    ready = [op for op, count in enumerate(waiting) if count == 0]
    schedule: list[int] = []
    while ready:
        op = ready.pop(rng.randrange(len(ready)))
        schedule.append(op)
        for after in graph.successors[op]:
            waiting[after] -= 1
            if waiting[after] == 0:
                ready.append(after)
    for _ in range(repeats):
        step = rng.randint(0, len(schedule))
        again = [op for op in dict.fromkeys(schedule[:step]) if graph.ops[op].recomputable]
        if again:
            schedule.insert(step, rng.choice(again))
    return tuple(schedule)

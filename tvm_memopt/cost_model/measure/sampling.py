"""Draw schedules from MetaSchedule's design space: at random, with random inlining, or evolved from measured ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tvm_ffi
from tvm.ir.expr import TensorLoad
from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule as ms

from tvm_memopt.cost_model.measure.intrinsics import cpu_intrinsics

if TYPE_CHECKING:
    import tvm
    from tvm.s_tir import SBlock, Schedule
    from tvm.s_tir.schedule import SBlockRV

SPACES = ("default", "some_inlined", "few_inlined", "untiled", "evolved")
"""Kinds of rounds, in the order in which each program goes through them."""

_INLINED = {"some_inlined": 0.6, "few_inlined": 0.2}
_POPULATION = 64
_DRAWS = 4  # design spaces per round
_MOST_LOADS = 32


@derived_object
class PickOne(ms.schedule_rule.PyScheduleRule):  # type: ignore[misc]
    """Apply a schedule rule with some probability and keep one of the schedules it returns.

    MetaSchedule itself keeps all of them. Their number doubles with each reduction, which takes minutes for twenty
    stages. A block that a stencil reads many times is left alone, because inlining would recompute it for each read.
    """

    def __init__(self, rule: ms.schedule_rule.ScheduleRule, probability: float, seed: int) -> None:
        super().__init__()
        self.rule, self.probability, self.seed = rule, probability, seed
        self.rng = np.random.default_rng(seed)

    def _initialize_with_tune_context(self, context: ms.TuneContext) -> None:
        self.rule._initialize_with_tune_context(context)

    def apply(self, sch: Schedule, block: SBlockRV) -> list[Schedule]:
        """Return one schedule: one from the rule, or the given one."""
        if self.rng.random() >= self.probability or _would_swell(sch, block):
            return [sch]
        try:
            offered = list(self.rule.apply(sch.copy(), block))
        except (RuntimeError, ValueError, TypeError):  # e.g. a consumer's index that TVM cannot invert
            return [sch]
        return [offered[int(self.rng.integers(len(offered)))]]

    def clone(self) -> PickOne:
        """A copy of the rule, reset to its seed."""
        return PickOne(self.rule.clone(), self.probability, self.seed)


def candidate_hash(mod: tvm.IRModule) -> int:
    """The structural hash of a module, stable across processes."""
    return int(tvm_ffi.structural_hash(mod)) % 2**64


def _would_swell(sch: Schedule, block: SBlockRV) -> bool:
    """Whether a consumer would have more than _MOST_LOADS loads with the block inlined."""
    inner = sch.get(block)
    if len(inner.writes) != 1:
        return False
    own = len(_loads(inner))
    for consumer in sch.get_consumers(block):
        sources = _loads(sch.get(consumer))
        copies = sum(source.same_as(inner.writes[0].source) for source in sources)
        if copies > 1 and len(sources) + copies * (own - 1) > _MOST_LOADS:
            return True
    return False


def _loads(block: SBlock) -> list[tvm.ir.Expr]:
    found: list[tvm.ir.Expr] = []
    tvm_ffi.structural_walk(block.body, [(TensorLoad, lambda load: found.append(load.source))])
    return found


def sample(
    mod: tvm.IRModule,
    target: tvm.target.Target,
    space: str,
    count: int,
    seed: int,
    database: ms.database.Database,
    threads: int = 1,
) -> list[ms.MeasureCandidate]:
    """Draw up to ``count`` measure candidates from one design space, fewer if it is small. Deterministic in ``seed``.

    ``database``: measured records. The "evolved" space mutates the best of them.
    """
    with cpu_intrinsics():
        context = ms.TuneContext(
            mod=mod,
            target=target,
            space_generator=_space(space, seed),
            search_strategy=_strategy(space, count),
            num_threads=threads,
            rand_state=seed % (2**31 - 2) + 1,
        )
    spaces = [sch for _ in range(_DRAWS) for sch in context.generate_design_space()]
    context.pre_tuning(count, count, spaces, database, ms.cost_model.RandomModel())
    found = context.generate_measure_candidates()
    context.post_tuning()
    return list(found or ())


def _strategy(space: str, count: int) -> ms.search_strategy.SearchStrategy:
    if space != "evolved":
        return ms.search_strategy.ReplayTrace(max_fail_count=20)
    return ms.search_strategy.EvolutionarySearch(
        population_size=max(_POPULATION, count),
        init_measured_ratio=0.5,
        init_min_unmeasured=min(16, count),
        max_fail_count=3,
        genetic_num_iters=3,
        eps_greedy=0.2,
    )


def _space(space: str, seed: int) -> ms.space_generator.SpaceGenerator:
    rules = []
    for number, rule in enumerate(ms.schedule_rule.ScheduleRule.create("llvm")):
        name = str(rule).split("(", maxsplit=1)[0].rsplit(".", maxsplit=1)[-1]
        if name == "AutoInline":
            rules.append(PickOne(rule, _INLINED.get(space, 1.0), seed + number))
        elif name == "AddRFactor" or (name == "MultiLevelTiling" and space != "untiled"):
            rules.append(PickOne(rule, 1.0, seed + number))
        elif name not in ("ApplyCustomRule", "MultiLevelTiling"):
            rules.append(rule)
    return ms.space_generator.PostOrderApply(
        sch_rules=rules,
        postprocs=list(ms.postproc.Postproc.create("llvm")),
        mutator_probs=dict(ms.mutator.Mutator.create("llvm")),
    )

"""The space of schedules that a search explores."""

from __future__ import annotations

from tvm.s_tir import meta_schedule as ms

_VECTOR_EXTENT, _UNROLL_STEPS = 64, [0, 16, 64, 512]  # of TVM's design space for CPUs


def cpu_design_space(*, parallel: bool = True) -> ms.space_generator.SpaceGenerator:
    """TVM's design space for CPUs without the rule that looks for hand-written schedules and warns about each.

    ``parallel``: whether outer loops are fused and made parallel.
    """
    rules = [r for r in ms.schedule_rule.ScheduleRule.create("llvm") if "ApplyCustomRule" not in str(r)]
    if not parallel:
        serial = ms.schedule_rule.ParallelizeVectorizeUnroll(-1, _VECTOR_EXTENT, _UNROLL_STEPS, True)
        rules = [serial if "ParallelizeVectorizeUnroll" in str(rule) else rule for rule in rules]
    return ms.space_generator.PostOrderApply(
        sch_rules=rules,
        postprocs=list(ms.postproc.Postproc.create("llvm")),
        mutator_probs=dict(ms.mutator.Mutator.create("llvm")),
    )

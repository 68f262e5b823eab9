"""The space of schedules that a search explores."""

from __future__ import annotations

from tvm.s_tir import meta_schedule as ms


def cpu_design_space() -> ms.space_generator.SpaceGenerator:
    """TVM's design space for CPUs without the rule that looks for hand-written schedules and warns about each."""
    rules = [r for r in ms.schedule_rule.ScheduleRule.create("llvm") if "ApplyCustomRule" not in str(r)]
    return ms.space_generator.PostOrderApply(
        sch_rules=rules,
        postprocs=list(ms.postproc.Postproc.create("llvm")),
        mutator_probs=dict(ms.mutator.Mutator.create("llvm")),
    )

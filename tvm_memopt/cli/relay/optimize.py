"""``tvm-memopt optimize`` with Relay."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvm_memopt.cli.console import emit, note, stage
from tvm_memopt.cli.files import check_output, removed_on_failure
from tvm_memopt.cli.frontend import DEFAULT_EXECUTOR
from tvm_memopt.cli.plans.check import invalid_plan
from tvm_memopt.cli.relay.device import build_for_device
from tvm_memopt.cli.relay.measured import RelayComparison, compare_with_unmodified, memory_text
from tvm_memopt.cli.relay.models import built as built_by_tvm
from tvm_memopt.cli.relay.models import import_for_relay, relay_target
from tvm_memopt.cli.summaries import (
    device_lines,
    note_interrupted,
    plan_summary,
    plan_text,
    print_plan_notes,
    raise_for_device,
)
from tvm_memopt.errors import BudgetError, MemoptError, PlanError
from tvm_memopt.graph import Plan, read_plan, write_plan

if TYPE_CHECKING:
    from tvm_memopt.cli.optimize_arguments import Arguments
    from tvm_memopt.frontends.inputs import InputDocument
    from tvm_memopt.passes.relay.build import RelayBuild


@dataclass(frozen=True)
class _Made:
    """A build with what the files and the report say about it."""

    build: RelayBuild
    mod: Any
    target: Any
    inputs: list[InputDocument]


def optimize_with_relay(arguments: Arguments, outputs: list[Path]) -> None:
    """Plan, build, write the module and its JSON file, measure and report. ``outputs``: removed if it fails."""
    from tvm_memopt.frontends.relay_import import describe_relay_inputs
    from tvm_memopt.passes.relay.module_file import sidecar_path
    from tvm_memopt.targets.toolchain import linker_for

    a, executor, beside = arguments, arguments.executor or DEFAULT_EXECUTOR, sidecar_path(arguments.output)
    check_output(str(beside), a.model)
    if a.plan_file and Path(a.plan_file).absolute() == beside.absolute():
        raise MemoptError(f"{a.plan_file}: is the file that describes the module; name another one for the plan")
    if a.report_dir:
        from tvm_memopt.report.chart import load_matplotlib

        load_matplotlib()  # before the search, not after it
    plan = read_plan(a.plan_file) if a.plan_file and Path(a.plan_file).exists() else None
    target = relay_target(a.target, a.device)
    linker = linker_for(target, a.cc, a.device)
    if a.measure and linker is not None and not a.cc:
        raise MemoptError("--measure runs the module on this machine, but --target names another; leave it out")
    mod = import_for_relay(a.model, a.shapes, a.override_shapes, executor)
    inputs = describe_relay_inputs(mod)
    search = a.budget is None and plan is None

    def build(limit: str | None) -> RelayBuild:
        return _build(replace(a, budget=limit or a.budget), mod, target, executor, plan)

    made = _Made(build_for_device(a.device, build, search=search), mod, target, inputs)
    with removed_on_failure([*outputs, beside]):
        _write(a, made, linker, plan)
    if made.build.planned is not None:
        raise_for_device(made.build.planned.plan)


def _options(a: Arguments, plan: Plan | None) -> dict[str, Any]:
    return {
        "budget": a.budget,
        "time_limit": a.time_limit,
        "seed": a.seed,
        "threads": a.threads,
        "measure_costs": a.measure_costs,
        "inplace": not a.no_inplace,
        "plan": plan,
        "strict": a.strict,
        "device": a.device,
    }


def _build(a: Arguments, mod: Any, target: Any, executor: str, plan: Plan | None) -> RelayBuild:
    from tvm_memopt.passes.relay.build import build

    with stage("planning and compiling"), _plan_errors_named(a, plan):
        return built_by_tvm(a.model, executor, lambda: build(mod, target, executor=executor, **_options(a, plan)))


@contextmanager
def _plan_errors_named(a: Arguments, plan: Plan | None) -> Iterator[None]:
    """Report a given plan that does not fit under its file's name."""
    try:
        yield
    except MemoptError as error:
        if plan is None or a.plan_file is None or isinstance(error, BudgetError):
            raise
        if not isinstance(error, PlanError):
            raise MemoptError(f"{a.plan_file}: {error}") from None
        advice = "delete the file to have a new plan written there"
        raise invalid_plan(a.plan_file, a.model, error.violations, advice) from None


def _write(a: Arguments, made: _Made, linker: Any, plan: Plan | None) -> None:
    from tvm_memopt.passes.relay.module_file import export_factory, memory_of, write_sidecar
    from tvm_memopt.passes.relay.planning import RelayOptions, call_plan
    from tvm_memopt.runtime.relay_execute import RelayModule

    build, planned = made.build, made.build.planned
    export_factory(build.factory, a.output, linker)
    write_sidecar(a.output, build, made.target, made.inputs)
    if planned is not None and a.plan_file and plan is None:
        write_plan(call_plan(planned, RelayOptions(**_options(a, None))), a.plan_file)
    if planned is not None:
        print_plan_notes(replace(planned.plan, notes=build.notes))
        note_interrupted(planned.plan)
    elif unused := [option for option, given in (("--plan", a.plan_file), ("--report", a.report_dir)) if given]:
        note(f"{', '.join(unused)}: left out, since there is no plan")
    comparison = None
    if a.measure:
        from tvm_memopt.frontends.inputs import described_arrays

        loaded = RelayModule(a.output, build.executor, [one["name"] for one in made.inputs])
        arrays = described_arrays(made.inputs, a.seed)
        comparison = compare_with_unmodified(loaded, memory_of(build), a.model, made.mod, made.target, arrays, 10)
    report = _report(a, build, comparison) if a.report_dir and planned is not None else None
    _print(a, build, plan, report, comparison)


def _report(a: Arguments, build: RelayBuild, comparison: RelayComparison | None) -> Path:
    import tvm

    from tvm_memopt import __version__
    from tvm_memopt.report import BuildFigures, ReportContext, write_report

    assert build.planned is not None
    wall = {} if comparison is None else comparison.times.wall_seconds
    seconds = {name: float(one.median) for name, one in wall.items()}
    before = build.storage.given_nbytes if build.storage is not None else None
    after = build.storage.nbytes if build.storage is not None else build.planned.plan.arena_nbytes
    context = ReportContext(
        baseline=BuildFigures(planned_nbytes=before, seconds=seconds.get("unmodified")),
        optimized=BuildFigures(planned_nbytes=after, seconds=seconds.get("planned")),
        command_line=shlex.join(["tvm-memopt", *sys.argv[1:]]),
        seed=a.seed,
        time_limit=a.time_limit,
        versions={"tvm-memopt": __version__, "tvm": str(tvm.__version__)},
        notes=build.notes,
    )
    return write_report(str(a.report_dir), build.planned.graph, build.planned.plan, context)


def _print(
    a: Arguments, build: RelayBuild, plan: Plan | None, report: Path | None, comparison: RelayComparison | None
) -> None:
    from tvm_memopt.passes.relay.module_file import memory_of

    planned, memory = build.planned, memory_of(build)
    document: dict[str, object] = {"module": a.output, "executor": build.executor, "memory": memory}
    if planned is None:
        document |= {"plan": None, "notes": list(build.notes)}
        lines = [f"{a.output}: compiled as TVM does: {'; '.join(build.notes)}"]
    else:
        document |= {"plan": a.plan_file, **plan_summary(planned.graph, planned.plan)}
        lines = [
            f"{a.output}: {_plan_line(build.executor, planned.plan)}",
            f"{build.executor} executor: {_memory_line(build, memory)}",
            *device_lines(planned.plan),
        ]
        if a.plan_file:
            lines.append(f"plan: {'followed' if plan else 'written to'} {a.plan_file}")
    if report is not None:
        document["report"] = str(report)
        lines.append(f"report: {report}")
    if comparison is not None:
        document["measured"] = comparison.document()
        lines.append(comparison.text())
    emit(a.as_json, document, "\n".join(lines))


def _plan_line(executor: str, plan: Plan) -> str:
    """The plan as a line: its arena, or for executors without addresses, its peak; with the time of the search."""
    calls = plan.solver.get("calls")
    search = calls.get("seconds", 0.0) if isinstance(calls, dict) else 0.0
    plan = replace(plan, solver={**plan.solver, "seconds": plan.solver.get("seconds", 0.0) + search})
    if executor == "aot":
        return plan_text(plan)
    return plan_text(replace(plan, arena_nbytes=plan.peak_live_nbytes), "peak")


def _memory_line(build: RelayBuild, memory: dict[str, int]) -> str:
    if build.executor == "vm":
        return "it allocates each tensor itself, in the plan's order: no arena"
    if build.storage is None:
        return memory_text(memory)
    found = build.storage
    return f"{memory_text(memory)}, TVM's own assignment {found.given_nbytes:,}, bound {found.bound_nbytes:,}"

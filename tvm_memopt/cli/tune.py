"""``tvm-memopt tune MODEL -o MODULE.so``: compile a model with tuned kernels and a memory plan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvm_memopt.cli.console import emit, note, stage
from tvm_memopt.cli.files import check_output, check_output_folder, removed_on_failure
from tvm_memopt.cli.models import import_for_command
from tvm_memopt.cli.options import frontend_option, json_option, shape_option, tuning_target_option
from tvm_memopt.cli.programs.counted import taken
from tvm_memopt.cli.programs.output import check_module_name, check_program_tools, is_program, write_build
from tvm_memopt.cli.rpc import named_device, rpc_options
from tvm_memopt.cli.summaries import device_lines, raise_for_device
from tvm_memopt.errors import MemoptError

if TYPE_CHECKING:
    import tvm

    from tvm_memopt.cost_model.data.programs import Task
    from tvm_memopt.cost_model.tuner.predicted.choices import Found
    from tvm_memopt.cost_model.tuner.tuning import Tuned
    from tvm_memopt.passes.relax.plan_function import FunctionPlan
    from tvm_memopt.targets import DeviceProfile
    from tvm_memopt.targets.rpc import Device as RemoteDevice


@click.command("tune")
@click.argument("model")
@click.option("-o", "--output", required=True, metavar="MODULE.so|PROGRAM.elf", help="Where to write the module.")
@click.option("--work-dir", required=True, metavar="DIR", help="Folder of the database; an existing one is continued.")
@click.option(
    "--cost-model", type=click.Choice(["gcn", "xgb", "mlp", "random"]), default="gcn", show_default=True,
    help="Cost model that guides the search.",
)  # fmt: skip
@click.option(
    "--checkpoint", metavar="FILE", help="Network that gcn starts from; default: the bundled one, if it fits."
)
@click.option(
    "--trials", type=click.IntRange(1), default=256, show_default=True, metavar="N",
    help="Total candidates, including those already in DIR.",
)  # fmt: skip
@click.option(
    "--schedule-seconds", type=click.FloatRange(0), default=90.0, show_default=True, metavar="S",
    help="With gcn: seconds to search schedules by prediction, which are measured first; 0: none.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of the search.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Worker processes.")
@click.option(
    "--timeout", type=float, default=30.0, show_default=True, metavar="S", help="Seconds to build and time a candidate."
)
@tuning_target_option
@click.option("--cc", metavar="COMPILER", help="Cross compiler that links for the target.")
@rpc_options
@click.option("--budget", metavar="80%|192KiB|BYTES", help="Limit on the arena; default: the smallest found.")
@click.option("--time-limit", type=float, default=10.0, show_default=True, metavar="S", help="Seconds for the plan.")
@click.option("--measure", is_flag=True, help="Compare outputs, memory and time with the default build.")
@shape_option
@frontend_option
@json_option
def command(frontend: str | None, **arguments: Any) -> None:
    """Search fast schedules for the kernels of MODEL, then compile it with a memory plan.

    A kernel that no schedule makes faster stays unchanged. Ctrl-C ends the search and compiles the best schedules so
    far. Run the same command to continue from the database in DIR.

    \b
    Examples:
      tvm-memopt tune model.onnx -o model.so --work-dir tuning --trials 512
      tvm-memopt tune model.onnx -o model.so --work-dir tuning --cost-model xgb --measure
      tvm-memopt tune model.onnx -o model.so --work-dir board --tracker 127.0.0.1:9190 --key emulator \\
        --target '{"kind": "llvm", "mtriple": "aarch64-linux-gnu", "num-cores": 1}'
    """
    _require_relax(frontend)
    _tune(_Arguments(**arguments))


def _require_relax(frontend: str | None) -> None:
    """Raise MemoptError for Relay, whose tuner is another."""
    from tvm_memopt.passes.versions import has_relax, has_relay, require_one_tvm, require_relax

    require_one_tvm()
    if frontend == "relay" or (frontend is None and has_relay() and not has_relax()):
        raise MemoptError(
            "this command tunes with MetaSchedule, which Relay lacks: in a script, use TVM's auto_scheduler within "
            "`with mo.relay.default_cost_model(): ...`, then `tvm-memopt optimize --frontend relay`"
        )
    require_relax()


@dataclass(frozen=True)
class _Arguments:
    """The command's arguments and options."""

    model: str
    output: str
    work_dir: str
    cost_model: str
    checkpoint: str | None
    trials: int
    schedule_seconds: float
    seed: int
    workers: int
    timeout: float
    target: str | None
    device: DeviceProfile | None
    cc: str | None
    rpc: str | None
    tracker: str | None
    key: str | None
    budget: str | None
    time_limit: float
    measure: bool
    shapes: tuple[str, ...]
    override_shapes: tuple[str, ...]
    as_json: bool


def _tune(arguments: _Arguments) -> None:
    output, folder = arguments.output, Path(arguments.work_dir)
    check_module_name(output)
    check_output(output, arguments.model)
    check_output_folder(str(folder))
    if arguments.checkpoint is not None and arguments.cost_model != "gcn":
        raise MemoptError("--checkpoint is for --cost-model gcn: leave one of them out")
    where = named_device(arguments.rpc, arguments.tracker, arguments.key, arguments.timeout)
    target = _target(arguments.target)
    if is_program(output):
        check_program_tools(target, arguments.cc, None)
    mod = import_for_command(arguments.model, arguments.shapes, arguments.override_shapes)
    tuned = _search(mod, target, where, folder, arguments)
    with removed_on_failure([Path(output)]):
        found = _build(mod, target, where, tuned, arguments)
    if found is not None:
        raise_for_device(found.plan)


def _target(text: str | None) -> tvm.target.Target:
    from tvm_memopt.cli.training.collect import tuning_target

    return tuning_target(text, cores=1)


def _search(
    mod: tvm.IRModule, target: tvm.target.Target, where: RemoteDevice | None, folder: Path, arguments: _Arguments
) -> Tuned:
    from tvm_memopt.cli.training.collect import measuring_device
    from tvm_memopt.cost_model.data.programs import model_tasks
    from tvm_memopt.cost_model.tuner.cost_models import make_cost_model
    from tvm_memopt.cost_model.tuner.tuning import TuneOptions, tune_tasks
    from tvm_memopt.cost_model.tuner.untuned import keep_what_is_faster, read_untuned, untuned_seconds

    checkpoint = None if arguments.checkpoint is None else Path(arguments.checkpoint)
    model, start = make_cost_model(arguments.cost_model, str(target), arguments.seed, checkpoint)
    tasks = model_tasks(mod, target, arguments.model)
    note(f"{arguments.model}: {len(tasks)} distinct kernels; {arguments.cost_model} starts from {start}")

    def show(task: str, measured: int, seconds: float | None) -> None:
        found = "none of them ran" if seconds is None else f"the fastest {taken(seconds, target)}"
        note(f"{measured} of {arguments.trials} measured; {task}: {found}")

    options = TuneOptions(arguments.trials, arguments.seed)
    read_untuned(folder)  # a damaged file is reported before the search starts
    starts = _starts(tasks, target, arguments) if arguments.cost_model == "gcn" else {}
    with measuring_device(where, target, arguments.cc, arguments.workers, arguments.timeout) as device:
        tuned = tune_tasks(tasks, target, device, model, folder, options, show, starts)
        untuned = untuned_seconds(tuned, tasks, target, device, folder)
    keep_what_is_faster(tuned, tasks, target, untuned)
    if tuned.unscheduled:
        note(f"{len(tuned.unscheduled)} of {len(tuned.best)} kernels are no slower without a schedule and get none")
    for line in tuned.warnings:
        note(f"warning: {line}")
    if tuned.failed and tuned.first_cause is not None:
        note(f"{tuned.failed} candidates failed; the first: {tuned.first_cause}")
    if tuned.interrupted:
        note("interrupted: compiling the best schedules so far; run the same command to continue the search")
    return tuned


def _starts(tasks: list[Task], target: tvm.target.Target, arguments: _Arguments) -> dict[str, Found]:
    from tvm_memopt.cli.schedules import search_progress
    from tvm_memopt.cost_model.tuner.predicted.scheduler import PredictedSchedules

    checkpoint = None if arguments.checkpoint is None else Path(arguments.checkpoint)
    with search_progress() as watch:
        source = PredictedSchedules(
            arguments.schedule_seconds, workers=arguments.workers, checkpoint=checkpoint, seed=arguments.seed, say=note,
            watch=watch,
        )  # fmt: skip
        return source.starts(tasks, target)


def _build(
    mod: tvm.IRModule, target: tvm.target.Target, where: RemoteDevice | None, tuned: Tuned, arguments: _Arguments
) -> FunctionPlan | None:
    from tvm_memopt.cli.optimize import describe_model_inputs
    from tvm_memopt.passes.build import build_planned
    from tvm_memopt.passes.compile import main_function
    from tvm_memopt.passes.relax.planning import PlanOptions, unplanned_reason
    from tvm_memopt.passes.schedules import FixedSchedules

    options = PlanOptions(
        budget=arguments.budget, time_limit=arguments.time_limit, seed=arguments.seed, device=arguments.device
    )
    schedules, inputs = FixedSchedules(tuned.database), describe_model_inputs(mod)
    with stage("planning and compiling"):
        build = build_planned(
            mod, target, options, inputs=inputs, schedules=schedules, executable=not is_program(arguments.output)
        )
    functions, skipped = build.planned.functions, build.planned.skipped
    found = functions[main_function(functions)] if functions else None
    arena_nbytes = None if found is None else found.plan.arena_nbytes
    notes = [unplanned_reason(skipped)] if found is None else list(found.plan.notes)
    write_build(build, mod, arguments.output, arguments.cc, arguments.device)
    document: dict[str, object] = {
        "module": arguments.output, "measured": tuned.measured, "known_before": tuned.known, "failed": tuned.failed,
        "kernel_seconds": tuned.best, "untuned_seconds": tuned.untuned, "unscheduled": tuned.unscheduled,
        "arena_nbytes": arena_nbytes, "notes": notes,
    }  # fmt: skip
    lines = [
        f"{arguments.output}: {len(tuned.best) - len(tuned.unscheduled)} kernels tuned with "
        f"{tuned.measured + tuned.known} candidates, {tuned.failed} failed; "
        + (f"no arena: {notes[0]}" if arena_nbytes is None else f"arena {arena_nbytes:,} bytes")
    ]
    if found is not None:
        lines += device_lines(found.plan)
        document["device"] = found.plan.solver.get("device")
    if arguments.measure:
        compared, told = _compare(mod, target, where, found, arguments)
        document["compared"] = compared
        lines.append(told)
    emit(arguments.as_json, document, "\n".join(lines))
    return found


def _compare(
    mod: tvm.IRModule, target: tvm.target.Target, where: RemoteDevice | None, planned: FunctionPlan | None,
    arguments: _Arguments,
) -> tuple[dict[str, object], str]:  # fmt: skip
    """Compare outputs, memory and time with TVM's own build without tuned kernels.

    ``planned``: the plan of the main function, or None if nothing was planned.
    """
    from tvm_memopt.cli.measured import compare, difference_of_outputs, largest_difference, text
    from tvm_memopt.frontends import random_inputs
    from tvm_memopt.passes.build import build_unmodified

    if is_program(arguments.output):
        return _compare_programs(mod, target, where, arguments)
    with stage("building the default module and measuring both"):
        other, inputs = build_unmodified(mod, target), random_inputs(mod, arguments.seed)
        arena_nbytes = None if planned is None else planned.plan.arena_nbytes
        position = planned.arena_position if planned is not None and planned.beside_arena else None
        if where is None:
            found = compare(
                arguments.output, other, inputs, arena_nbytes, caller_arena=False, repeats=10, arena_position=position
            )
            difference = largest_difference(arguments.output, other, inputs)
        else:
            from tvm_memopt.cli.measured_remote import compare_remote

            both = compare_remote(
                where, arguments.output, other, target, inputs, arena_nbytes, caller_arena=False, repeats=10,
                arena_position=position, cc=arguments.cc,
            )  # fmt: skip
            found, difference = both.comparison, difference_of_outputs(both.outputs, both.unmodified_outputs)
    told = text(found).rpartition("\n")[0]  # the last line is about equal bits, which tuned schedules do not guarantee
    document = {**found.document(), "largest_difference": difference}
    return document, f"{told}\noutputs: largest difference {difference:.1e} of the largest value"


def _compare_programs(
    mod: tvm.IRModule, target: tvm.target.Target, where: RemoteDevice | None, arguments: _Arguments
) -> tuple[dict[str, object], str]:
    from tvm_memopt.cli.measured import difference_of_outputs
    from tvm_memopt.cli.programs.compare import compare_programs
    from tvm_memopt.frontends import random_inputs

    with stage("building the default module and running both"):
        found = compare_programs(arguments.output, mod, target, random_inputs(mod, arguments.seed), where, arguments.cc)
    assert found.unmodified is not None
    difference = difference_of_outputs(found.planned.outputs, found.unmodified.outputs)
    told = found.text().rpartition("\n")[0]
    document = {**found.document(), "largest_difference": difference}
    return document, f"{told}\noutputs: largest difference {difference:.1e} of the largest value"

"""``tvm-memopt optimize MODEL -o module.so``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvm_memopt.cli.console import emit, note, stage
from tvm_memopt.cli.files import check_output, check_output_folder, removed_on_failure
from tvm_memopt.cli.frontend import choose_frontend
from tvm_memopt.cli.models import import_for_command, kernel_costs
from tvm_memopt.cli.optimize_arguments import Arguments
from tvm_memopt.cli.options import (
    executor_option,
    frontend_option,
    json_option,
    kernel_options,
    search_options,
    shape_option,
    strict_option,
    target_option,
)
from tvm_memopt.cli.plan import make_request
from tvm_memopt.cli.plans.check import invalid_plan
from tvm_memopt.cli.programs.output import check_module_name, check_program_tools, is_program, write_build
from tvm_memopt.cli.rpc import named_device
from tvm_memopt.cli.schedules import chosen_scheduler, schedule_options, schedule_target
from tvm_memopt.cli.sizes import sizes
from tvm_memopt.cli.summaries import (
    device_lines,
    io_lines,
    note_interrupted,
    plan_summary,
    plan_text,
    print_plan_notes,
    raise_for_device,
)
from tvm_memopt.errors import BudgetError, MemoptError, PlanError
from tvm_memopt.graph import Graph, Plan, check_budget_syntax, io_offsets, parse_budget, read_plan, write_plan
from tvm_memopt.graph.io_offsets import parse_io_kinds

if TYPE_CHECKING:
    import tvm

    from tvm_memopt.cli.measured import Comparison, Measured
    from tvm_memopt.frontends.inputs import InputDocument
    from tvm_memopt.passes.build import Build
    from tvm_memopt.passes.relax.plan_function import FunctionPlan
    from tvm_memopt.passes.relax.planning import KernelCosts, PlanOptions
    from tvm_memopt.runtime import Spread
    from tvm_memopt.targets.rpc import Device

RELAY_SERVED = (
    "output", "plan_file", "report_dir", "measure", "cc", "executor", "budget", "time_limit", "threads", "seed",
    "shapes", "override_shapes", "target", "device", "no_inplace", "measure_costs", "strict", "as_json",
)  # fmt: skip
_REPORT_FILES = ("report.html", "graph.json", "plan.json", "chart.svg", "chart.png")


@click.command("optimize")
@click.argument("model")
@click.option(
    "-o", "--output", required=True, metavar="MODULE.so|PROGRAM.elf",
    help="Where to write the compiled module: a shared library, or a program that needs no TVM.",
)  # fmt: skip
@click.option(
    "--plan", "plan_file", metavar="FILE", help="Follow this plan if the file exists; otherwise write the plan there."
)
@click.option("--report", "report_dir", metavar="DIR", help="Folder for an HTML report, charts, graph and plan.")
@click.option("--measure", is_flag=True, help="Also build the unmodified module, and measure both.")
@click.option(
    "--exec-mode", type=click.Choice(["bytecode", "compiled"]), default="bytecode", show_default=True,
    help="TVM virtual machine mode.",
)  # fmt: skip
@click.option("--caller-arena", is_flag=True, help="The caller passes the arena: a uint8 tensor after the inputs.")
@click.option("--cc", metavar="COMPILER", help="Cross compiler that links for the target.")
@search_options
@shape_option
@target_option
@kernel_options
@schedule_options
@strict_option
@frontend_option
@executor_option
@json_option
def command(**arguments: Any) -> None:
    """Plan the memory of MODEL and compile it to a shared library that uses exactly the plan's arena.

    Ctrl-C ends the search and compiles the best plan so far. If anything fails, no new file is left behind. A module
    that does not fit --device is written as well, and the exit status reports it. PROGRAM.elf is a program with one
    static arena instead: it needs no runtime of TVM, and is the only form for Hexagon. With Relay, MODULE.so.json is
    written too: `tvm-memopt run` reads it.

    \b
    Examples:
      tvm-memopt optimize model.onnx -o model.so --shape input=1,3,224,224
      tvm-memopt optimize model.tflite -o model.so --budget 192KiB --report report/
      tvm-memopt optimize model.onnx -o model.so --device cortex-a72
      tvm-memopt optimize model.onnx -o model.elf --device hexagon-v66
      tvm-memopt optimize model.onnx -o model.so --frontend relay --executor graph
    """
    given = Arguments(**arguments)
    optimization = _Optimization(given)
    optimization.check()
    if choose_frontend(given.frontend, RELAY_SERVED) == "relay":
        from tvm_memopt.cli.relay.optimize import optimize_with_relay

        if is_program(given.output):
            raise MemoptError(f"{given.output}: programs are made with Relax: name a shared library (.so) with Relay")
        optimize_with_relay(given, optimization.outputs())
    else:
        optimization.run()


class _Optimization:
    """One call of the command. Its stages share the arguments."""

    def __init__(self, arguments: Arguments) -> None:
        self.arguments = arguments
        self.model, self.output = arguments.model, arguments.output
        self.plan_file = arguments.plan_file or None
        self.report_dir = arguments.report_dir or None
        self.plan: Plan | None = None
        self.costs: KernelCosts | None = None
        self.device: Device | None = None

    def check(self) -> None:
        """Raise MemoptError for arguments and output files that are wrong for every front end."""
        self._check_arguments()
        self._check_outputs()

    def run(self) -> None:
        """Plan and compile with Relax."""
        if self.plan_file is not None and Path(self.plan_file).exists():
            self.plan = read_plan(self.plan_file)
        a = self.arguments
        self.device = named_device(a.rpc, a.tracker, a.key)
        if self.device is not None and not a.measure and not a.measure_costs:
            raise MemoptError("--rpc and --tracker name the device to measure on: add --measure or --measure-costs")
        target = self._target()
        self.costs = kernel_costs(a.predict_costs, a.measure_costs, target, self.device, a.cc)
        mod = import_for_command(self.model, self.arguments.shapes, self.arguments.override_shapes)
        build = self._build(mod, target)
        with removed_on_failure(self.outputs()):
            self._write(mod, target, build)
        for function in build.planned.functions.values():  # after all is written: the report shows why it does not fit
            raise_for_device(function.plan)

    def _check_arguments(self) -> None:
        parse_io_kinds(self.arguments.io_in_arena)
        if self.arguments.budget is not None:
            check_budget_syntax(self.arguments.budget)
        make_request(self.arguments.time_limit, self.arguments.threads, self.arguments.seed)
        check_module_name(self.output)

    def _check_outputs(self) -> None:
        check_output(self.output, self.model)
        if self.report_dir is not None:
            check_output_folder(self.report_dir)
        if self.plan_file is not None and not Path(self.plan_file).exists():
            check_output(self.plan_file)
            if Path(self.plan_file).absolute() == Path(self.output).absolute():
                raise MemoptError(f"{self.output}: is given for both the module and the plan; name two files")

    def _target(self) -> tvm.target.Target:
        """The target, after checking that it can be linked for and, with --measure, run on this machine."""
        from tvm_memopt.targets.toolchain import linker_for

        target = schedule_target(self.arguments.target, self.arguments.schedules)
        if is_program(self.output):
            check_program_tools(target, self.arguments.cc, self.device)
            return target
        linker = linker_for(target, self.arguments.cc, self.arguments.device)
        if self.device is not None:
            self.device.count()
        elif self.arguments.measure:
            if linker is not None and not self.arguments.cc:
                raise MemoptError(
                    "--measure runs the module on this machine, but --target names another: name a device with --rpc, "
                    "or --tracker and --key, or leave it out"
                )
            from tvm_memopt.runtime.interposer import build_interposer

            build_interposer()
        return target

    def _build(self, mod: tvm.IRModule, target: tvm.target.Target) -> Build:
        from tvm_memopt.passes.build import build_planned

        if self.plan is not None and self.plan.graph not in (names := _function_names(mod)):
            raise PlanError(
                f"{self.plan_file}: is a plan for {self.plan.graph!r}, but {self.model} has only {', '.join(names)}; "
                "name another file to have a new plan written there"
            )
        mode, inputs = self.arguments.exec_mode, describe_model_inputs(mod)
        options, a = self._options(), self.arguments
        shown = stage("planning and compiling") if a.schedules == "none" else nullcontext()
        with (
            shown,
            chosen_scheduler(a.schedules, a.schedule_seconds, a.seed) as schedules,
            self._plan_errors_named(),
        ):
            return build_planned(
                mod, target, options, exec_mode=mode, inputs=inputs, schedules=schedules,
                executable=not is_program(self.output),
            )  # fmt: skip

    def _options(self) -> PlanOptions:
        from tvm_memopt.passes.relax.planning import PlanOptions

        a = self.arguments
        return PlanOptions(
            budget=a.budget,
            time_limit=a.time_limit,
            seed=a.seed,
            threads=a.threads,
            caller_arena=a.caller_arena,
            fold_data_movement=a.fold,
            split=a.split,
            narrow=a.narrow,
            integer=a.integer,
            overlap=a.overlap,
            io_in_arena=a.io_in_arena,
            inplace=not a.no_inplace,
            measure_costs=a.measure_costs,
            kernel_costs=self.costs,
            plan=self.plan,
            strict=a.strict,
            device=a.device,
        )

    @contextmanager
    def _plan_errors_named(self) -> Iterator[None]:
        """Report a given plan that does not fit under its file's name."""
        try:
            yield
        except PlanError as error:
            if self.plan is None or self.plan_file is None or not error.violations:
                raise
            advice = "delete the file to have a new plan written there"
            raise invalid_plan(self.plan_file, self.model, error.violations, advice) from None

    def outputs(self) -> list[Path]:
        """The files and folders that the command writes."""
        folder = [] if self.report_dir is None else [Path(self.report_dir)]
        files = [self.output] if self.plan_file is None else [self.output, self.plan_file]
        return [*map(Path, files), *folder, *(f / name for f in folder for name in _REPORT_FILES)]

    def _write(self, mod: tvm.IRModule, target: tvm.target.Target, build: Build) -> None:
        from tvm_memopt.cli.programs.compare import ProgramComparison
        from tvm_memopt.passes.compile import main_function

        if not build.planned.functions:
            self._write_unplanned(mod, target, build)
            return
        name = main_function(build.planned.functions)
        found = build.planned.functions[name]
        self._check_followed(found.graph)
        write_build(build, mod, self.output, self.arguments.cc, self.arguments.device)
        if self.plan_file is not None and self.plan is None:
            write_plan(found.plan, self.plan_file)
        print_plan_notes(found.plan)
        note_interrupted(found.plan)
        beside = found.arena_position if found.beside_arena else None
        comparison = self._measure(mod, target, found.plan.arena_nbytes, arena_position=beside)
        shown = None if isinstance(comparison, ProgramComparison) else comparison
        report = self._report(build, found, shown) if self.report_dir is not None else None
        self._print(found, comparison, report)

    def _write_unplanned(self, mod: tvm.IRModule, target: tvm.target.Target, build: Build) -> None:
        """Write the module as TVM builds it, and say why."""
        from tvm_memopt.passes.relax.planning import unplanned_reason

        write_build(build, mod, self.output, self.arguments.cc, self.arguments.device)
        reason = unplanned_reason(build.planned.skipped)
        given = (("--plan", self.plan_file), ("--report", self.report_dir))
        unused = [option for option, value in given if value]
        if unused:
            note(f"{', '.join(unused)}: left out, since there is no plan")
        comparison = self._measure(mod, target, None)
        document: dict[str, object] = {"module": self.output, "plan": None, "notes": [reason]}
        lines = [f"{self.output}: compiled as TVM does: {reason}"]
        self._emit(document, lines, comparison)

    def _check_followed(self, graph: Graph) -> None:
        """Raise BudgetError if the given plan exceeds the given budget."""
        if self.plan is None or self.arguments.budget is None:
            return
        budget = parse_budget(self.arguments.budget, graph)
        if self.plan.arena_nbytes > budget:
            raise BudgetError(
                f"{self.plan_file}: this plan needs {self.plan.arena_nbytes} bytes, more than the budget of {budget}; "
                "delete the file to have a new plan written there"
            )

    def _measure(
        self, mod: tvm.IRModule, target: tvm.target.Target, arena: int | None, *, arena_position: int | None = None
    ) -> Measured | None:
        """Compare the module with the unmodified build if --measure is given. ``arena``: bytes of the plan's arena."""
        if not self.arguments.measure:
            return None
        from tvm_memopt.cli.optimize_measure import measured

        return measured(self.arguments, self.device, mod, target, arena, arena_position)

    def _emit(self, document: dict[str, object], lines: list[str], comparison: Measured | None) -> None:
        from tvm_memopt.cli.measured import with_measured

        rounding = self.arguments.schedules != "none" or bool(self.arguments.integer)
        emit(self.arguments.as_json, *with_measured(document, lines, comparison, rounding=rounding))

    def _report(self, build: Build, found: FunctionPlan, comparison: Comparison | None) -> Path:
        from tvm_memopt import __version__
        from tvm_memopt.cli.measured import figures
        from tvm_memopt.passes.relax.baseline import baseline_plan
        from tvm_memopt.passes.relax.type_sizes import nbytes_by_type
        from tvm_memopt.report import ReportContext, write_report

        baseline = baseline_plan(build.lowered, build.target, found.graph.name)
        before = baseline.storage_nbytes + build.planned.scratch_before  # what the arena replaces, without outputs
        after = found.plan.arena_nbytes
        times = None if comparison is None else comparison.times
        seconds = {} if times is None else times.cpu_seconds or times.wall_seconds
        memory = (None, None) if comparison is None else (comparison.unmodified, comparison.planned)
        passed = 0 if comparison is None else comparison.caller_arena_nbytes
        context = ReportContext(
            baseline=figures(memory[0], before, _median(seconds, "unmodified")),
            optimized=figures(memory[1], after, _median(seconds, "planned"), passed),
            command_line=shlex.join(["tvm-memopt", *sys.argv[1:]]),
            seed=self.arguments.seed,
            time_limit=self.arguments.time_limit,
            versions={"tvm-memopt": __version__, "apache-tvm": _tvm_version()},
            stage_seconds=dict(build.seconds),
            notes=(*found.plan.notes, *found.folds),
            model_nbytes=Path(self.model).stat().st_size,
            nbytes_by_type=nbytes_by_type(found.extraction),
        )
        return write_report(str(self.report_dir), found.graph, found.plan, context)

    def _print(self, found: FunctionPlan, comparison: Measured | None, report: Path | None) -> None:
        document: dict[str, object] = {
            "module": self.output,
            "plan": self.plan_file,
            **plan_summary(found.graph, found.plan),
        }
        document["folds"] = list(found.folds)
        places = io_offsets(found.graph, found.plan) if self.arguments.io_in_arena else {}
        document.update({"io_offsets": places} if places else {})
        source = "" if self.plan_file is None else f"plan: {'followed' if self.plan else 'written to'} {self.plan_file}"
        text = plan_text(found.plan)
        lines = [f"{self.output}: {text}", *device_lines(found.plan), *filter(None, [source]), *io_lines(places)]
        more, narrow_lines = sizes(self.model, found)
        document, lines = {**document, **more}, [*lines, *narrow_lines]
        if report is not None:
            document["report"] = str(report)
            lines.append(f"report: {report}")
        self._emit(document, lines, comparison)


def _function_names(mod: tvm.IRModule) -> list[str]:
    from tvm import relax

    return [v.name_hint for v, function in mod.functions_items() if isinstance(function, relax.Function)]


def _median(seconds: Mapping[str, Spread], name: str) -> float | None:
    return float(seconds[name].median) if name in seconds else None


def _tvm_version() -> str:
    import tvm

    return str(tvm.__version__)


def describe_model_inputs(mod: tvm.IRModule) -> list[InputDocument]:
    """Name, shape and type of each input, for the metadata of a compiled module."""
    from tvm_memopt.frontends.inputs import describe_inputs

    return describe_inputs(mod)

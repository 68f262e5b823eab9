"""``tvm-memopt optimize MODEL -o module.so``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from tvm_memopt.cli.console import emit, note, stage
from tvm_memopt.cli.models import import_for_command
from tvm_memopt.cli.options import json_option, kernel_options, search_options, shape_option, target_option
from tvm_memopt.cli.plan import make_request, plan_summary, plan_text
from tvm_memopt.errors import MemoptError
from tvm_memopt.graph import check_budget_syntax, read_plan, write_plan


@click.command("optimize")
@click.argument("model")
@click.option("-o", "--output", required=True, metavar="MODULE.so", help="Where to write the compiled module.")
@click.option(
    "--plan", "plan_file", metavar="FILE", help="Follow this plan if the file exists; otherwise write the plan there."
)
@click.option("--report", "report_dir", metavar="DIR", help="Write an HTML report, charts, graph and plan there.")
@click.option("--measure", is_flag=True, help="Build the unmodified module too, and measure both for the report.")
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
@json_option
def command(**arguments: Any) -> None:
    """Plan the memory of MODEL and compile it: a shared library that runs with exactly the plan's arena.

    \b
    Examples:
      tvm-memopt optimize model.onnx -o model.so --shape input=1,3,224,224
      tvm-memopt optimize model.tflite -o model.so --budget 192KiB --report report/
    """
    _Optimization(arguments).run()


class _Optimization:
    """One call of the command; the stages share the arguments."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self.arguments = arguments
        self.model: str = arguments["model"]
        self.output: str = arguments["output"]
        plan_file = arguments["plan_file"]
        self.plan_file = Path(plan_file) if plan_file else None
        self.follows = self.plan_file is not None and self.plan_file.exists()

    def run(self) -> None:
        from tvm_memopt.api import main_function, make_target
        from tvm_memopt.passes.relax.build import build_planned, export_module

        self._check_arguments()
        target = make_target(self.arguments["target"])
        options = self._options()
        mod = import_for_command(self.model, self.arguments["shapes"])
        with stage("planning and compiling"):
            build = build_planned(
                mod, target, options, exec_mode=self.arguments["exec_mode"], inputs=_describe_inputs(mod)
            )
        export_module(build.executable, self.output, target, self.arguments["cc"])
        name = main_function(build.planned.functions)
        found = build.planned.functions[name]
        if self.plan_file is not None and not self.follows:
            write_plan(found.plan, self.plan_file)
        self._notes(build.planned, name)
        comparison = self._measure(mod, target, found.plan.arena_nbytes) if self.arguments["measure"] else None
        report = self._report(build, found, comparison) if self.arguments["report_dir"] else None
        self._print(found, comparison, report)

    def _check_arguments(self) -> None:
        if self.arguments["budget"] is not None:
            check_budget_syntax(self.arguments["budget"])
        make_request(self.arguments["time_limit"], self.arguments["threads"], self.arguments["seed"])
        if not self.output.endswith(".so"):
            raise MemoptError(f"{self.output}: a compiled module is a shared library, expected a name that ends in .so")

    def _options(self) -> Any:
        from tvm_memopt.passes.relax.planning import PlanOptions

        a = self.arguments
        plan = read_plan(self.plan_file) if self.follows and self.plan_file is not None else None
        return PlanOptions(
            a["budget"], a["time_limit"], a["seed"], a["threads"], a["caller_arena"], a["fold"], not a["no_inplace"],
            a["measure_costs"], plan,
        )  # fmt: skip

    def _notes(self, planned: Any, name: str) -> None:
        for text in planned.functions[name].notes:
            note(text)
        for function, reason in planned.skipped.items():
            note(f"function {function}: left as it is: {reason}")

    def _measure(self, mod: Any, target: Any, arena_nbytes: int) -> Any:
        from tvm_memopt.cli.measured import compare
        from tvm_memopt.frontends import random_inputs
        from tvm_memopt.passes.relax.build import build_unmodified

        with stage("building the unmodified module and measuring both"):
            other = build_unmodified(mod, target, exec_mode=self.arguments["exec_mode"])
            inputs = random_inputs(mod, self.arguments["seed"])
            caller_arena = self.arguments["caller_arena"]
            return compare(self.output, other, inputs, arena_nbytes, caller_arena=caller_arena, repeats=10)

    def _report(self, build: Any, found: Any, comparison: Any) -> Path:
        from tvm_memopt import __version__
        from tvm_memopt.cli.measured import figures
        from tvm_memopt.passes.relax.baseline import baseline_plan
        from tvm_memopt.report import ReportContext, write_report

        baseline = baseline_plan(build.lowered, build.target, found.graph.name)
        before = baseline.storage_nbytes + build.planned.scratch_before
        seconds = {} if comparison is None else comparison.times.cpu_seconds
        memory = (None, None) if comparison is None else (comparison.unmodified, comparison.planned)
        context = ReportContext(
            baseline=figures(memory[0], before, _median(seconds, "unmodified")),
            optimized=figures(memory[1], found.plan.arena_nbytes, _median(seconds, "planned")),
            command_line=shlex.join(["tvm-memopt", *sys.argv[1:]]),
            seed=self.arguments["seed"],
            time_limit=self.arguments["time_limit"],
            versions={"tvm-memopt": __version__, "apache-tvm": _tvm_version()},
            stage_seconds=dict(build.seconds),
            notes=tuple(found.notes),
        )
        return write_report(self.arguments["report_dir"], found.graph, found.plan, context)

    def _print(self, found: Any, comparison: Any, report: Path | None) -> None:
        from tvm_memopt.cli.measured import text

        document = {"module": self.output, **plan_summary(found.graph, found.plan)}
        lines = [f"{self.output}: {plan_text(found.plan)}"]
        if comparison is not None:
            document["measured"] = comparison.document()
            lines.append(text(comparison))
        if report is not None:
            document["report"] = str(report)
            lines.append(f"report: {report}")
        emit(self.arguments["as_json"], document, "\n".join(lines))


def _median(seconds: Mapping[str, Any], name: str) -> float | None:
    return float(seconds[name].median) if name in seconds else None


def _tvm_version() -> str:
    import tvm

    return str(tvm.__version__)


def _describe_inputs(mod: Any) -> list[dict[str, Any]]:
    from tvm_memopt.frontends.inputs import describe_inputs

    return list(describe_inputs(mod))

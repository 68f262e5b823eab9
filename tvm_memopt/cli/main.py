"""The ``tvm-memopt`` command: argument parsing, and conversion of errors to one line and an exit status."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import NoReturn

import click

from tvm_memopt.errors import MemoptError, PlanError

_COMMANDS = {
    "batch": "tvm_memopt.cli.device.batch",
    "check": "tvm_memopt.cli.plans.check",
    "collect": "tvm_memopt.cli.training.collect",
    "devices": "tvm_memopt.cli.device.devices",
    "doctor": "tvm_memopt.cli.device.doctor",
    "emulator": "tvm_memopt.cli.device.emulator",
    "graph": "tvm_memopt.cli.graph",
    "optimize": "tvm_memopt.cli.optimize",
    "pack": "tvm_memopt.cli.pack",
    "plan": "tvm_memopt.cli.plan",
    "run": "tvm_memopt.cli.run",
    "show": "tvm_memopt.cli.plans.show",
    "sweep": "tvm_memopt.cli.sweep",
    "train-order": "tvm_memopt.cli.training.order",
    "train-cost-model": "tvm_memopt.cli.training.cost_model",
    "tune": "tvm_memopt.cli.tune",
}
_HELP = {
    "batch": "Plan a table of models, devices and budgets on a cluster.",
    "check": "Check a plan against its graph.",
    "collect": "Measure schedules as training data for the cost model.",
    "devices": "List the devices that can be planned for.",
    "doctor": "Check a device and what is needed to reach it.",
    "emulator": "Start, stop or show an emulated AArch64 device.",
    "graph": "Write the operator graph of a model.",
    "optimize": "Plan the memory of a model and compile it.",
    "pack": "Find offsets for buffers with fixed lifetimes (CSV).",
    "plan": "Write a memory plan for a model or graph.",
    "run": "Run a compiled module and measure its memory and time.",
    "show": "Draw a plan: memory over steps and the address map.",
    "sweep": "Trade memory against time for a model or graph.",
    "train-order": "Train the network that orders graphs.",
    "train-cost-model": "Train the cost model on collected measurements.",
    "tune": "Tune the kernels of a model, then plan and compile it.",
}
INTERNAL_ERROR = 1
BAD_INPUT = 2
INTERRUPTED = 130
# Raised by click >= 8.2 for a call without arguments. Its message is the whole help text.
_NO_ARGUMENTS = getattr(click.exceptions, "NoArgsIsHelpError", ())


class _LazyGroup(click.Group):
    """A group that imports a command only when it is called, so that ``--help`` starts quickly."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command: click.Command = import_module(_COMMANDS[name]).command
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_HELP.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tvm-memopt")
@click.option("-v", "--verbose", count=True, help="Log progress on stderr; twice for more.")
def cli(verbose: int) -> None:
    """Memory planning for Apache TVM: a model, a target and a budget in; a module with one arena out.

    \b
    Examples:
      tvm-memopt plan model.onnx -o plan.json --shape input=1,3,224,224
      tvm-memopt optimize model.onnx -o model.so --budget 80% --report report/
      tvm-memopt run model.so --against model.onnx

    Exit status: 0 done, 1 outputs differ or internal error, 2 bad input, 3 budget proved infeasible,
    4 no plan within the time limit.
    """
    from tvm_memopt.cli.console import set_up_logging

    set_up_logging(verbose)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Entry point of the console script. Exits with the status of the command."""
    try:
        status = cli.main(arguments, prog_name="tvm-memopt", standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        status = _complain("interrupted", INTERRUPTED)
    except Exception as error:
        status = _explain(error)
    sys.exit(status if isinstance(status, int) else 0)


def _explain(error: Exception) -> int:
    """Print one line that explains the error, and return the exit status."""
    if isinstance(error, _NO_ARGUMENTS):
        click.echo(error.format_message(), err=True)
        return BAD_INPUT
    if isinstance(error, click.ClickException):
        return _complain(error.format_message().rstrip(".") + _see_help(error), BAD_INPUT)
    if isinstance(error, MemoptError):
        status = _complain(str(error), error.exit_status)
        for violation in error.violations if isinstance(error, PlanError) else ():
            click.echo(f"  {violation}", err=True)
        return status
    return _internal(error)


def _see_help(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return "" if context is None else f" (see '{context.command_path} --help')"


def _internal(error: Exception) -> int:
    if os.environ.get("TVM_MEMOPT_TRACEBACK"):
        raise error
    last = (str(error).strip().splitlines() or [""])[-1]
    return _complain(
        f"internal error: {type(error).__name__}: {last} (set TVM_MEMOPT_TRACEBACK=1 for the traceback)",
        INTERNAL_ERROR,
    )


def _complain(message: str, status: int) -> int:
    click.echo(f"tvm-memopt: error: {' '.join(message.split())}", err=True)
    return status


if __name__ == "__main__":
    main()

"""Which of TVM's front ends a command uses, Relax or Relay, and which options have a meaning there."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import click
from click.core import ParameterSource

from tvm_memopt.errors import MemoptError

RELAY_EXECUTORS = ("aot", "graph", "vm")
DEFAULT_EXECUTOR = RELAY_EXECUTORS[0]
_RELAY_ONLY = {
    "executor": "it names an executor of Relay, and Relax has one, its virtual machine: leave it out, or give "
    "--frontend relay",
}
_RELAX_ONLY = {
    "fold": "folding rewrites the loops of Relax's kernels: leave it out; Relay's plans move no data into loops",
    "split": "splitting rewrites the loops of Relax's kernels: leave it out; Relay's kernels are those of TVM",
    "overlap": "kernels of Relay keep TVM's buffers: leave it out",
    "narrow": "it cuts kernels of Relax at narrow tensors: leave it out; Relay's kernels are those of TVM",
    "integer": "it rewrites operators of Relax: leave it out; Relay's arithmetic is that of TVM",
    "io_in_arena": "a build by Relay leaves inputs and outputs to its executor: leave it out",
    "caller_arena": "the executors of Relay allocate their memory themselves: leave it out",
    "exec_mode": "it is the mode of Relax's virtual machine: use --executor aot, graph or vm",
    "function": "a Relay module has main alone: leave it out",
    "schedules": "it takes schedules of MetaSchedule, which Relay lacks: leave it out",
    "schedule_seconds": "it is for --schedules: leave it out",
    "predict_costs": "the network reads kernels of TVM 0.20 or later: use --measure-costs",
}
_FOR_RELAX = "it needs Relax: leave it out, or use apache-tvm 0.27 or later in an environment of its own"


def choose_frontend(asked: str | None, served: Collection[str] = ()) -> str:
    """``"relax"`` or ``"relay"``: the one asked for, else the one that the installed TVM has.

    ``served``: names of the command's parameters that Relay can serve. Raises MemoptError if the TVM for it is missing,
    if two TVMs are installed over each other, or if an option was given that has no meaning there.
    """
    from tvm_memopt.passes.versions import has_relax, has_relay, require_one_tvm, require_relax, require_relay

    require_one_tvm()
    frontend = asked or ("relay" if has_relay() and not has_relax() else "relax")
    if frontend == "relay":
        require_relay()
        _refuse(lambda name: name not in served and name != "frontend", _RELAX_ONLY, _FOR_RELAX, "with Relay")
    else:
        require_relax()
        _refuse(lambda name: name in _RELAY_ONLY, _RELAY_ONLY, "", "with Relax")
    return frontend


def _refuse(wrong: Any, reasons: dict[str, str], otherwise: str, where: str) -> None:
    """Raise MemoptError for the options given on the command line that have no meaning here."""
    context = click.get_current_context(silent=True)
    if context is None:
        return
    found = [
        f"{parameter.opts[0]} cannot be used {where}: {reasons.get(parameter.name, otherwise)}"
        for parameter in context.command.params
        if isinstance(parameter, click.Option)
        and parameter.name is not None
        and wrong(parameter.name)
        and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    ]
    if found:
        raise MemoptError("; ".join(found))

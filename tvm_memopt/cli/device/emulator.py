"""``tvm-memopt emulator start|stop|status``."""

from __future__ import annotations

import click

from tvm_memopt.cli.console import emit, note
from tvm_memopt.cli.options import json_option
from tvm_memopt.errors import MemoptError

_hexagon_option = click.option("--hexagon", is_flag=True, help="The device that runs programs for Hexagon.")


@click.group("emulator")
def command() -> None:
    """An AArch64 or Hexagon device emulated with QEMU, for trying the edge path without a board.

    The AArch64 device runs TVM's runtime below a tracker on 127.0.0.1. Times on it are those of the emulator: they show
    that tuning works, not how fast a board would be. The Hexagon device runs programs, and counts their instructions.

    \b
    Example:
      tvm-memopt emulator start --light
      tvm-memopt run model.so --tracker 127.0.0.1:9190 --key emulator
      tvm-memopt emulator stop
    """


@command.command("start")
@click.option("--light", is_flag=True, help="The server in C++: no Python, a third of the size, starts in a second.")
@_hexagon_option
@click.option("--key", default="emulator", show_default=True, help="Key under which it is registered.")
@click.option("--devices", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Servers to start.")
@json_option
def start_command(light: bool, hexagon: bool, key: str, devices: int, as_json: bool) -> None:
    """Set the device up, which downloads 160 MB once, and start it."""
    from dataclasses import asdict

    from tvm_memopt.targets.emulator.control import start

    if light and hexagon:
        raise MemoptError("--light is a server for AArch64: leave --light or --hexagon out")
    state = start(light, key, devices, note, hexagon=hexagon)
    kind = "Hexagon" if hexagon else "AArch64"
    emit(
        as_json,
        asdict(state),
        f"{devices} emulated {kind} device{'s' * (devices > 1)}: --tracker {state.tracker} --key {state.key}",
    )


@command.command("stop")
@_hexagon_option
@json_option
def stop_command(hexagon: bool, as_json: bool) -> None:
    """End the device and everything that it started."""
    from tvm_memopt.targets.emulator.control import stop

    ended = stop(hexagon)
    emit(as_json, {"stopped": ended}, "the emulated device has ended" if ended else "no emulated device runs")


@command.command("status")
@_hexagon_option
@json_option
def status_command(hexagon: bool, as_json: bool) -> None:
    """Say what runs. The exit status is 1 if nothing does."""
    from dataclasses import asdict

    from tvm_memopt.targets.emulator.control import registered_devices, status

    state = status(hexagon)
    if state is None:
        emit(as_json, {"running": False}, "no emulated device runs")
        raise click.exceptions.Exit(1)
    known = registered_devices(state)
    kind = "Hexagon" if hexagon else "C++" if state.light else "Python"
    emit(
        as_json,
        {"running": True, "registered": known, **asdict(state)},
        f"{known} of {len(state.servers)} {kind} servers registered: --tracker {state.tracker} --key {state.key}; "
        f"{state.restarts} restarts",
    )

"""``tvm-memopt devices [NAME]``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from tvm_memopt.cli.console import emit
from tvm_memopt.cli.options import json_option
from tvm_memopt.targets import DeviceProfile, builtin_devices, device_profile


@click.command("devices")
@click.argument("name", required=False, metavar="[NAME|FILE.toml]")
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List the devices that --device knows, or show one in full.

    A TOML file describes a device of your own; it is checked and shown in the same way.

    \b
    Examples:
      tvm-memopt devices
      tvm-memopt devices cortex-m7
    """
    if name is not None:
        profile = device_profile(name)
        emit(as_json, document(profile), details(profile))
        return
    profiles = list(builtin_devices().values())
    emit(as_json, {"devices": [document(profile) for profile in profiles]}, table(profiles))


def document(profile: DeviceProfile) -> dict[str, Any]:
    """The profile for JSON output."""
    return {key: dict(value) if key == "target" else value for key, value in asdict(profile).items()}


def table(profiles: list[DeviceProfile]) -> str:
    """The devices as a text table."""
    rows = [("device", "RAM", "flash", "cores", "description")]
    for one in profiles:
        flash = "-" if one.flash_nbytes is None else size(one.flash_nbytes)
        name = ", ".join((one.name, *one.aliases))
        rows.append((name, size(one.ram_nbytes), flash, str(one.cores), one.description))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}  {row[4]}"
        for row in rows
    )


def details(profile: DeviceProfile) -> str:
    """All figures of one device as text."""
    lines = [f"{profile.name}: {profile.description}"]
    if profile.aliases:
        lines.append(f"also called: {', '.join(profile.aliases)}")
    lines.append("target: " + ", ".join(f"{key} {_plain(value)}" for key, value in profile.target.items()))
    flash = "weights are loaded into RAM" if profile.flash_nbytes is None else f"flash {size(profile.flash_nbytes)}"
    lines.append(f"RAM {size(profile.ram_nbytes)}, {flash}, cores {profile.cores}")
    for memory in profile.memories:
        managed = ", managed by software" if memory.software_managed else ""
        speed = f"{memory.bytes_per_second / 1e9:g} GB/s"
        lines.append(f"memory {memory.name}: {size(memory.nbytes)}, alignment {memory.alignment}, {speed}{managed}")
    if (peak := profile.arithmetic) is not None:
        lines.append(
            f"peak of one core: {peak.flops_per_cycle:g} FLOP and {peak.int8_ops_per_cycle:g} int8 operations a cycle "
            f"at {peak.clock_hz / 1e6:g} MHz"
        )
    rates = profile.rates
    lines.append(
        f"untuned loops: {rates.flops_per_second:g} FLOP/s, {rates.bytes_per_second:g} bytes/s, "
        f"{rates.call_seconds * 1e6:g} us a call"
    )
    lines += [f"compiler: {one.command} ({one.package})" for one in profile.compilers]
    return "\n".join([*lines, *(f"source: {source}" for source in profile.sources)])


def size(nbytes: int) -> str:
    """A size in the largest unit in which it has at most one decimal."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if nbytes >= factor:
            return f"{round(nbytes / factor, 1):g} {unit}"
    return f"{nbytes} B"


def _plain(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)

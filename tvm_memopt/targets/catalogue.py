"""The built-in device profiles, and those of a user's own files."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from tvm_memopt.errors import MemoptError
from tvm_memopt.targets.profile import DeviceProfile
from tvm_memopt.targets.profile_file import read_profile

_FOLDER = Path(__file__).parent / "devices"
# Families of LLVM triples, and the device whose rates stand for each.
_FAMILIES = (
    ("hexagon", "hexagon-v68"), ("thumb", "cortex-m7"), ("aarch64", "cortex-a72"), ("arm64", "cortex-a72"),
    ("armv7m", "cortex-m7"), ("arm", "cortex-a72"), ("riscv32", "riscv32"),
)  # fmt: skip


@cache
def builtin_devices() -> dict[str, DeviceProfile]:
    """The profiles of the package by name, in alphabetical order with ``host`` first."""
    profiles = [read_profile(path) for path in sorted(_FOLDER.glob("*.toml"))]
    profiles.sort(key=lambda profile: (bool(profile.triple), profile.name))
    return {profile.name: profile for profile in profiles}


def device_profile(name: str | os.PathLike[str] | DeviceProfile) -> DeviceProfile:
    """The device of this name, such as ``"cortex-m7"``, or that of a TOML file.

    Raises MemoptError that lists the known names, or that says what is wrong with the file.
    """
    if isinstance(name, DeviceProfile):
        return name
    text = os.fspath(name)
    devices = builtin_devices()
    for profile in devices.values():
        if text in (profile.name, *profile.aliases):
            return profile
    if text.endswith(".toml") or os.sep in text:
        return read_profile(Path(text))
    raise MemoptError(
        f"device {text!r} is unknown: expected one of {', '.join(devices)}, or the path of a TOML file that describes "
        "one"
    )


def profile_for(triple: str, cpu: str = "") -> DeviceProfile:
    """The built-in profile that best fits an LLVM triple and CPU. ``host`` if there is none of their family."""
    devices = builtin_devices()
    same = [one for one in devices.values() if cpu and one.triple == triple and one.target.get("mcpu") == cpu]
    if same:
        return same[0]
    bare = "armv7m" if triple.startswith("arm") and "-none-eabi" in triple else triple
    family = next((name for start, name in _FAMILIES if bare.startswith(start)), "host")
    return devices[family]

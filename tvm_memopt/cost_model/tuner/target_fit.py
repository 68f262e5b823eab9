"""Whether a network trained for one target may guide a search for another, across the spellings of two TVMs."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping

_ARCHITECTURES = {"amd64": "x86_64", "x86-64": "x86_64", "x86": "x86_64", "arm64": "aarch64"}
_INSTRUCTIONS = ("mcpu", "mattr", "mabi", "mfloat-abi")


def architecture(target: Mapping[str, object]) -> str:
    """The processor family of a target: of its triple, else of its processor, else of this machine, as TVM has it."""
    triple, processor = str(target.get("mtriple", "")), str(target.get("mcpu", ""))
    family = triple.split("-", maxsplit=1)[0] or ("x86_64" if processor.startswith("x86-64") else platform.machine())
    return _ARCHITECTURES.get(family.lower(), family.lower())


def misfit(trained: str, wanted: str) -> str | None:
    """Why a network for the target ``trained`` cannot rank programs for ``wanted``, both JSON; None: it can.

    Code of another kind or processor family is another problem. Within a family the order of schedules carries over,
    so that other instructions, options of the compiler and spellings are no reason.
    """
    one, other = json.loads(trained), json.loads(wanted)
    if one.get("kind") != other.get("kind"):
        return f"kind {one.get('kind')}, expected {other.get('kind')}"
    if one.get("kind") == "llvm" and architecture(one) != architecture(other):
        return f"processors of the family {architecture(one)}, expected {architecture(other)}"
    return None


def difference(trained: str, wanted: str) -> str | None:
    """Attributes by which the instructions of two targets that fit differ, as "mcpu x86-64-v3, here x86-64-v2"."""
    one, other = json.loads(trained), json.loads(wanted)
    changed = [key for key in _INSTRUCTIONS if one.get(key) != other.get(key)]
    return "; ".join(f"{key} {one.get(key, 'none')}, here {other.get(key, 'none')}" for key in changed) or None

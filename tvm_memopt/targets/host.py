"""Check whether code for a target runs on this machine. An unsupported instruction would kill the process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tvm

# LLVM's names of features that have another name in Linux's /proc/cpuinfo. Both are without separators.
_LINUX_NAMES = {
    "64bit": "lm", "bmi": "bmi1", "crc32": "sse42", "ermsb": "erms", "lzcnt": "abm", "pclmul": "pclmulqdq",
    "prfchw": "3dnowprefetch", "rdrnd": "rdrand", "sahf": "lahflm", "sha": "shani", "shstk": "usershstk",
    "sse3": "pni", "x87": "fpu",
}  # fmt: skip
# Features that only choose among available instructions, or that no compiler uses unless asked to.
_TUNING = {
    "64bitmode", "branchfusion", "enqcmd", "evex512", "idivqtodivl", "macrofusion", "mwaitx", "nopl", "pconfig",
    "ptwrite", "rdpru", "sbbdepbreaking", "sgx", "uintr", "vzeroupper",
}  # fmt: skip
_TUNING_PREFIXES = ("allow", "falsedeps", "fast", "nobypass", "prefer", "slow", "tuning")


def runs_here(target: tvm.target.Target) -> bool:
    """Whether this machine has the architecture, operating system and all instruction sets of ``target``.

    False if unknown, for example for a feature that is listed neither by the processor nor in the tables above.
    """
    machine, triple = os.uname().machine, str(target.attrs.get("mtriple", "") or "")
    architectures = (machine, "arm64") if machine == "aarch64" else (machine,)
    if triple and (triple.split("-", maxsplit=1)[0] not in architectures or sys.platform not in triple):
        return False
    if machine != "x86_64":
        return not target.attrs.get("mcpu") and not target.attrs.get("mattr")
    return not missing_features(target, _processor_flags())


def missing_features(target: tvm.target.Target, flags: set[str]) -> list[str]:
    """Instruction sets of an x86-64 ``target`` that are missing from ``flags``, by LLVM's names.

    ``flags``: the processor's flags by Linux's names, without separators.
    """
    from tvm.target import codegen

    features = sorted(map(str, codegen.llvm_get_cpu_features(target)))
    return [feature for feature in features if not _is_tuning(_plain(feature)) and _linux_name(feature) not in flags]


def _is_tuning(name: str) -> bool:
    return name in _TUNING or name.startswith(_TUNING_PREFIXES)


def _linux_name(feature: str) -> str:
    return _LINUX_NAMES.get(_plain(feature), _plain(feature))


def _processor_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    flags = next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), [])
    return _plain_names(flags)


def _plain_names(names: Iterable[str]) -> set[str]:
    return set(map(_plain, names))


def _plain(name: str) -> str:
    """``name`` without separators, which LLVM and Linux place differently."""
    return name.translate(str.maketrans("", "", "._-"))

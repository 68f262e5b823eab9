"""Debian packages: installed on this machine, or unpacked into a folder, also those of another architecture."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tvm_memopt.errors import MemoptError
from tvm_memopt.targets.emulator.stages import Say, run_quietly

_SOURCES = ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list")


def install_command(command: str, package: str, say: Say) -> None:
    """Install the package of a command, unless the command is there. Only root may; raises MemoptError otherwise."""
    if shutil.which(command) is not None:
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise MemoptError(f"{command} is not installed: as root, apt-get install {package}")
    say(f"installing {package}")
    _lists_for(package)
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
    run_quietly(install, f"installing {package}", environment=quiet)


def unpack_files(package: str, files: dict[str, Path]) -> None:
    """Download a package of this machine's architecture, and copy some of its files (by path in it) elsewhere."""
    _require_apt(package)
    _lists_for(package)
    with tempfile.TemporaryDirectory(prefix="tvm-memopt-") as name:
        folder = Path(name)
        options = ["-o", "APT::Sandbox::User="]
        run_quietly(["apt-get", *options, "download", "-qq", package], f"downloading {package}", folder)
        archive = next(folder.glob("*.deb"))
        run_quietly(["dpkg-deb", "-x", str(archive), str(folder / "content")], f"unpacking {package}")
        for source, target in files.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(folder / "content" / source, target)


def python_of_debian() -> str:
    """The version of this Debian's Python, such as "3.11"."""
    _require_apt("python3-minimal")
    _lists_for("python3-minimal")
    told = run_quietly(["apt-cache", "depends", "python3-minimal"], "asking for Debian's Python")
    for word in told.split():
        if word.startswith("python3.") and word.endswith("-minimal"):
            return word.removeprefix("python").removesuffix("-minimal")
    raise MemoptError("apt-cache names no version of python3-minimal: an up-to-date Debian or Ubuntu is expected")


def unpack_foreign(packages: list[str], architecture: str, root: Path) -> None:
    """Unpack packages of another architecture, with what they depend on, below ``root``.

    A private apt configuration leaves this machine's list of packages alone.
    """
    source = next((path for path in _SOURCES if Path(path).exists()), None)
    if source is None:
        raise MemoptError("the emulated Python comes from Debian's packages: no sources of apt were found")
    with tempfile.TemporaryDirectory(prefix="tvm-memopt-") as name:
        folder = Path(name)
        environment = {"APT_CONFIG": str(_configuration(folder, source, architecture))}
        run_quietly(["apt-get", "update", "-qq"], f"the list of {architecture} packages", environment=environment)
        download = ["apt-get", "install", "-y", "-qq", "--download-only", *packages]
        run_quietly(download, f"downloading {architecture} packages", environment=environment)
        root.mkdir(parents=True, exist_ok=True)
        for archive in sorted((folder / "archives").glob("*.deb")):
            run_quietly(["dpkg-deb", "-x", str(archive), str(root)], f"unpacking {archive.name}")
    for unused in ("doc", "man", "locale"):
        shutil.rmtree(root / "usr/share" / unused, ignore_errors=True)


def _configuration(folder: Path, source: str, architecture: str) -> Path:
    for name in ("lists/partial", "archives/partial", "parts"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    settings = {
        "Dir::State": folder, "Dir::State::Lists": folder / "lists", "Dir::State::status": folder / "status",
        "Dir::Cache": folder, "Dir::Cache::Archives": folder / "archives", "Dir::Etc::Parts": folder / "parts",
        "Dir::Etc::SourceList": source, "Dir::Etc::SourceParts": "-", "APT::Architecture": architecture,
        "APT::Install-Recommends": "false", "APT::Sandbox::User": "", "Acquire::Languages": "none",
    }  # fmt: skip
    lines = [f'{key} "{value}";' for key, value in settings.items()]
    lines.append(f'APT::Architectures {{ "{architecture}"; }};')
    path = folder / "apt.conf"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _require_apt(package: str) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise MemoptError(f"the emulator is set up from Debian's package {package}: Debian or Ubuntu is expected")


def _lists_for(package: str) -> None:
    shown = subprocess.run(["apt-cache", "show", package], capture_output=True, check=False)
    if shown.returncode:
        run_quietly(["apt-get", "update", "-qq"], "apt-get update")

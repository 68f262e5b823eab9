"""Atomic output files, which appear either complete or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tvm_memopt.errors import MemoptError


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path in the folder of ``path`` that replaces ``path`` when the block ends without an error.

    Raises MemoptError, naming the file and the cause, if it cannot be written. In that case no temporary file is left
    behind and an existing file is unchanged. Devices and pipes are written directly, and links are followed.
    """
    shown, target = Path(path), Path(os.path.realpath(path))
    is_stream = shown.exists() and not shown.is_file() and not shown.is_dir()
    folder = None if is_stream else target.parent
    try:
        handle, name = tempfile.mkstemp(dir=folder, prefix=f".{shown.name}.", suffix=shown.suffix)
        os.close(handle)
    except OSError as error:
        raise _cannot_write(shown, error) from error
    temporary = Path(name)
    try:
        yield temporary
        if is_stream:
            _copy_into(shown, temporary)
        else:
            temporary.chmod(0o666 & ~_umask())
            os.replace(temporary, target)  # noqa: PTH105  # the one call that tests make fail
    except OSError as error:
        raise _cannot_write(shown, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text_atomic(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` by atomic rename. Raises as atomic_path does."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _copy_into(stream: Path, source: Path) -> None:
    with source.open("rb") as content, stream.open("wb") as sink:
        shutil.copyfileobj(content, sink)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _cannot_write(path: Path, error: OSError) -> MemoptError:
    return MemoptError(f"{path}: cannot be written: {error.strerror or error}; nothing was left behind")

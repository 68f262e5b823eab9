"""TOML files with one-line errors that name the file, the key and what was expected."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tvm_memopt.byte_sizes import parse_bytes
from tvm_memopt.errors import MemoptError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(path: Path) -> dict[str, Any]:
    """The document of a TOML file. Raises MemoptError if it cannot be read."""
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MemoptError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MemoptError(f"{path}: not valid TOML: {error}") from None
    return document


class Table:
    """One table of a TOML file. Each method returns the value of a key, and raises MemoptError if it is wrong.

    A key that is read without a default must be there. ``finish`` rejects the keys that nobody has read.
    """

    def __init__(self, path: Path, values: Mapping[str, Any], where: str = "") -> None:
        self.path, self.values, self.where = path, values, where
        self.known: set[str] = set()

    def fail(self, key: str, expected: str) -> MemoptError:
        """The error for a missing or wrong value."""
        name = f"{self.where}{key}"
        if key not in self.values:
            return MemoptError(f"{self.path}: missing key '{name}': expected {expected}")
        return MemoptError(f"{self.path}: key '{name}': expected {expected}, found {self.values[key]!r}")

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        self.known.add(key)
        return key in self.values

    def text(self, key: str, default: str | None = None) -> str:
        """A string that is not empty."""
        value = self.values[key] if self.has(key) else default
        if not isinstance(value, str) or not value.strip():
            raise self.fail(key, "a string")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings, empty if the key is missing."""
        value = self.values[key] if self.has(key) else []
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self.fail(key, "a list of strings")
        return tuple(value)

    def number(self, key: str, default: float | None = None, *, least: float = 0.0) -> float:
        """A finite number, greater than ``least`` or equal to it."""
        value = self.values[key] if self.has(key) else default
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < float("inf"):
            raise self.fail(key, f"a number of at least {least:g}")
        return value

    def positive(self, key: str) -> float:
        """A finite number greater than 0."""
        if not self.has(key) or not self.number(key) > 0:
            raise self.fail(key, "a number greater than 0")
        return self.number(key)

    def count(self, key: str, default: int | None = None) -> int:
        """A whole number of at least 1."""
        value = self.values[key] if self.has(key) else default
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.fail(key, "a whole number of at least 1")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self.values[key] if self.has(key) else default
        if not isinstance(value, bool):
            raise self.fail(key, "true or false")
        return value

    def nbytes(self, key: str) -> int:
        """A number of bytes: a whole number or a text such as ``"320KiB"``."""
        value = self.values[key] if self.has(key) else None
        size = parse_bytes(str(value)) if isinstance(value, int | str) and not isinstance(value, bool) else None
        if size is None or size.denominator != 1 or size < 1:
            raise self.fail(key, 'a size such as "320KiB" or 327680')
        return int(size)

    def table(self, key: str) -> Table:
        """A table."""
        value = self.values[key] if self.has(key) else None
        if not isinstance(value, dict):
            raise self.fail(key, f"a table [{self.where}{key}]")
        return Table(self.path, value, f"{self.where}{key}.")

    def tables(self, key: str) -> list[Table]:
        """An array of tables, empty if the key is missing."""
        value = self.values[key] if self.has(key) else []
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise self.fail(key, f"tables [[{self.where}{key}]]")
        return [Table(self.path, one, f"{self.where}{key}[{index}].") for index, one in enumerate(value)]

    def finish(self) -> None:
        """Raise MemoptError for a key that nobody has read, such as a misspelt one."""
        for key in self.values:
            if key not in self.known:
                expected = ", ".join(sorted(self.known))
                raise MemoptError(f"{self.path}: key '{self.where}{key}' is unknown: expected one of {expected}")

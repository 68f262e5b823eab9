"""MkDocs hook: CONTRIBUTING.md and CHANGELOG.md of the repository's root become pages of the site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

_ROOT = Path(__file__).resolve().parents[2]
_PAGES = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}


def on_files(files: Files, *, config: Any, **_: Any) -> Files:
    """Add the pages; their links to ``docs/`` become links within the site."""
    for page, source in _PAGES.items():
        text = (_ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    return files

"""Detection of file formats, by content first and by extension second, without TVM."""

from __future__ import annotations

import json
import os
import re
import zipfile
from pathlib import Path

from tvm_memopt.errors import FrontendError

MODEL_FORMATS = ("onnx", "tflite", "torch-export", "relax-script", "relax-json")
_BY_EXTENSION = {
    ".onnx": "onnx",
    ".tflite": "tflite",
    ".pt2": "torch-export",
    ".py": "relax-script",
    ".relax": "relax-script",
    ".txt": "relax-script",
    ".json": "json",
}
_HEAD_NBYTES = 1 << 16
_SCRIPT = re.compile(rb"^\s*@(I\.)?ir_module\b|^\s*@(R\.)?function\b", re.MULTILINE)
_MEMOPT = re.compile(r'"format"\s*:\s*"(memopt-(?:graph|plan))/')
_RELAX_JSON = re.compile(r'"root_index"\s*:')
_EXPORT_MEMBERS = ("archive_format", "serialized_exported_program.json")


def detect_format(path: str | os.PathLike[str]) -> str:
    """Return one of MODEL_FORMATS, ``memopt-graph`` or ``memopt-plan``. Raises FrontendError for any other file."""
    file = Path(path)
    head = _read_head(file)
    if not head.strip():
        raise FrontendError(f"{file}: the file is empty")
    kind = _by_content(file, head) or _BY_EXTENSION.get(file.suffix.lower())
    if kind is None:
        known = ", ".join(_BY_EXTENSION)
        raise FrontendError(f"{file}: not a recognised model format; expected one of {known}")
    return _json_kind(file, head) if kind == "json" else kind


def _read_head(file: Path) -> bytes:
    if file.is_dir():
        raise FrontendError(f"{file}: is a directory; expected a model file")
    try:
        with file.open("rb") as stream:
            return stream.read(_HEAD_NBYTES)
    except OSError as error:
        raise FrontendError(f"{file}: cannot be read: {error.strerror or error}") from error


def _by_content(file: Path, head: bytes) -> str | None:
    if head[4:8] == b"TFL3":
        return "tflite"
    if head.startswith(b"PK\x03\x04"):
        return _zip_kind(file)
    if head.startswith(b"version https://git-lfs"):
        raise FrontendError(f"{file}: is a Git LFS pointer, not the model; fetch it with 'git lfs pull'")
    if head.lstrip().startswith(b"{"):
        return "json"
    return "relax-script" if _SCRIPT.search(head) else None


def _zip_kind(file: Path) -> str:
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):  # also: undecodable names, unknown compression
        raise FrontendError(f"{file}: the archive is truncated or corrupt; expected a torch.export program") from None
    if any(member.endswith(_EXPORT_MEMBERS) for member in members):
        return "torch-export"
    raise FrontendError(
        f"{file}: the archive holds no exported program (truncated, or of another kind); "
        "write one with torch.export.save(program, 'model.pt2')"
    )


def _json_kind(file: Path, head: bytes) -> str:
    """The kind of a JSON file. Relax JSON with weights is large, so the file is parsed only if its head is unclear."""
    text = head.decode("utf-8", errors="replace")
    if found := _MEMOPT.search(text):
        return found[1]
    if _RELAX_JSON.search(text):
        return "relax-json"
    return _kind_of_object(file, _parse(file))


def _parse(file: Path) -> object:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FrontendError(f"{file}: not valid JSON: {error}") from None


def _kind_of_object(file: Path, value: object) -> str:
    name = value.get("format") if isinstance(value, dict) else None
    if isinstance(name, str) and name.startswith(("memopt-graph/", "memopt-plan/")):
        return name.partition("/")[0]
    if isinstance(value, dict) and "root_index" in value:
        return "relax-json"
    raise FrontendError(f"{file}: neither a memopt-graph/1 file nor a module saved by tvm.ir.save_json")

"""Recognising files without TVM."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tvm_memopt.errors import FrontendError
from tvm_memopt.frontends import detect_format

SCRIPT = "from tvm.script import ir as I\n@I.ir_module\nclass Module:\n    pass\n"


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("model.onnx", b"\x08\x09\x12\x04test", "onnx"),
        ("model.tflite", b"\x1c\x00\x00\x00TFL3", "tflite"),
        ("model.bin", b"\x1c\x00\x00\x00TFL3", "tflite"),
        ("module.py", SCRIPT.encode(), "relax-script"),
        ("module.log", SCRIPT.encode(), "relax-script"),
        ("module.json", b'{"root_index": 3, "nodes": []}', "relax-json"),
        ("module.json", b'{"nodes": [' + b"0," * 50_000 + b'0], "root_index": 3}', "relax-json"),
        ("graph.json", b'{"format": "memopt-graph/1", "tensors": []}', "memopt-graph"),
        ("graph.txt", b' {"tensors": [' + b"0," * 50_000 + b'0], "format": "memopt-graph/1"}', "memopt-graph"),
        ("plan.json", b'{"format": "memopt-plan/1"}', "memopt-plan"),
    ],
)
def test_a_file_is_recognised_by_content_and_extension(tmp_path: Path, name: str, content: bytes, kind: str):
    file = tmp_path / name
    file.write_bytes(content)
    assert detect_format(file) == kind


def test_an_archive_is_an_exported_program_only_if_it_says_so(tmp_path: Path):
    for member in ("model/archive_format", "serialized_exported_program.json"):
        with zipfile.ZipFile(tmp_path / "model.pt2", "w") as archive:
            archive.writestr(member, "pt2")
        assert detect_format(tmp_path / "model.pt2") == "torch-export"
    with zipfile.ZipFile(tmp_path / "weights.pt2", "w") as archive:
        archive.writestr("data.pkl", "")
    with pytest.raises(FrontendError, match=r"weights\.pt2: the archive holds no exported program"):
        detect_format(tmp_path / "weights.pt2")


def test_an_archive_with_a_spoilt_directory_is_refused(tmp_path: Path):
    file = tmp_path / "model.pt2"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("modèle/archive_format", "pt2")
    file.write_bytes(file.read_bytes().replace("è".encode(), b"\xff\xff"))
    with pytest.raises(FrontendError, match="the archive is truncated or corrupt"):
        detect_format(file)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.onnx", b"", "the file is empty"),
        ("model.h5", b"\x89HDF", "not a recognised model format; expected one of .onnx, .tflite"),
        ("other.json", json.dumps({"format": "else"}).encode(), "neither a memopt-graph/1 file nor a module"),
        ("list.json", b"[1, 2]", "neither a memopt-graph/1 file nor a module"),
        ("cut.json", b'{"format": ', "not valid JSON"),
        ("cut.pt2", b"PK\x03\x04" + bytes(100), "the archive is truncated or corrupt"),
        ("pointer.onnx", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path: Path, name: str, content: bytes, message: str):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(FrontendError) as caught:
        detect_format(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_directory_and_a_missing_file_are_named(tmp_path: Path):
    with pytest.raises(FrontendError, match="is a directory"):
        detect_format(tmp_path)
    with pytest.raises(FrontendError, match=r"absent\.onnx: cannot be read: No such file"):
        detect_format(tmp_path / "absent.onnx")


def test_recognising_a_file_loads_no_heavy_package(tmp_path: Path):
    file = tmp_path / "graph.json"
    file.write_text('{"format": "memopt-graph/1"}')
    check = (
        "import sys; from tvm_memopt.frontends import detect_format; print(detect_format(sys.argv[1]));"
        "print([m for m in ('tvm', 'onnx', 'onnxruntime', 'torch', 'tflite', 'numpy') if m in sys.modules])"
    )
    command = [sys.executable, "-c", check, str(file)]
    assert subprocess.run(command, capture_output=True, text=True).stdout.split("\n")[:2] == ["memopt-graph", "[]"]

"""Device profiles: every built-in one is complete and known to TVM, and a wrong file is one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import tvm
from tvm import te, topi

from tvm_memopt.errors import MemoptError
from tvm_memopt.targets import DeviceProfile, builtin_devices, device_profile
from tvm_memopt.targets.catalogue import profile_for
from tvm_memopt.targets.profile_file import read_profile

DEVICES = builtin_devices()
NAMES = {
    "host", "cortex-a72", "aarch64-phone", "cortex-a7", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m55", "riscv32",
    "hexagon-v66", "hexagon-v68", "hexagon-v73",
}  # fmt: skip
BOARD = """
name = "board"
description = "a board"
ram = "96KiB"
cores = 1
sources = ["its data sheet"]

[target]
kind = "llvm"
mtriple = "thumbv7em-none-eabi"

[sustained]
flops-per-second = 1e7
bytes-per-second = 1e8
call-seconds = 0

[[memories]]
name = "sram"
size = 98304
bytes-per-second = 2e8
"""


@pytest.fixture
def board(tmp_path: Path) -> Path:
    path = tmp_path / "board.toml"
    path.write_text(BOARD)
    return path


def test_the_built_in_devices_are_these():
    assert set(DEVICES) == NAMES
    assert next(iter(DEVICES)) == "host"


@pytest.mark.parametrize("device", DEVICES.values(), ids=lambda device: device.name)
def test_a_built_in_device_is_complete(device: DeviceProfile):
    assert device.sources
    assert device.ram_nbytes > 0
    if device.name != "host":
        assert device.memories
        assert device.compilers
        assert device.arithmetic is not None
        assert device.target["num-cores"] == device.cores
        assert max(memory.nbytes for memory in device.memories) <= device.ram_nbytes


@pytest.mark.parametrize("device", DEVICES.values(), ids=lambda device: device.name)
def test_llvm_compiles_for_the_target_without_a_complaint(device: DeviceProfile, capfd):
    x = te.placeholder((64,), "float32", "x")
    func = te.create_prim_func([x, topi.nn.relu(x)]).with_attr("global_symbol", "relu")
    built = tvm.compile(tvm.IRModule({"relu": func}), tvm.target.Target(dict(device.target)))
    assert built is not None
    assert "not a recognized" not in capfd.readouterr().err  # what LLVM says of a wrong CPU or feature


@pytest.mark.parametrize("version", ["v66", "v68", "v73"])
def test_a_hexagon_has_the_vector_scratch_memory_that_tvm_knows(version: str):
    known = tvm.target.Target(f"qcom/hexagon-{version}").attrs["vtcm-capacity"]
    scratch = [memory for memory in DEVICES[f"hexagon-{version}"].memories if memory.software_managed]
    assert [(memory.name, memory.nbytes) for memory in scratch] == [("vtcm", int(known))]


@pytest.mark.parametrize(
    ("alias", "name"), [("cortex-a", "cortex-a72"), ("cortex-m", "cortex-m7"), ("hexagon", "hexagon-v68")]
)
def test_the_names_of_families_still_lead_to_a_device(alias: str, name: str):
    assert device_profile(alias) is DEVICES[name]


def test_an_unknown_name_lists_the_known():
    with pytest.raises(MemoptError, match=r"device 'cortex-q9' is unknown: expected one of host, .*riscv32"):
        device_profile("cortex-q9")


@pytest.mark.parametrize(
    ("triple", "cpu", "name"),
    [
        ("aarch64-linux-gnu", "", "cortex-a72"),
        ("aarch64-linux-android", "cortex-a76", "aarch64-phone"),
        ("armv7a-linux-gnueabihf", "cortex-a7", "cortex-a7"),
        ("thumbv7em-none-eabihf", "cortex-m4", "cortex-m4"),
        ("thumbv7em-none-eabihf", "", "cortex-m7"),
        ("armv7em-none-eabi", "", "cortex-m7"),
        ("hexagon", "hexagonv66", "hexagon-v68"),
        ("hexagon-unknown-linux-musl", "hexagonv66", "hexagon-v66"),
        ("x86_64-linux-gnu", "skylake", "host"),
    ],
)
def test_the_rates_of_a_target_are_those_of_the_closest_device(triple: str, cpu: str, name: str):
    assert profile_for(triple, cpu).name == name


def test_this_machine_has_its_own_memory_and_cores():
    host = DEVICES["host"]
    assert host.triple == ""
    assert host.ram_nbytes > 2**28
    assert host.cores >= 1


def test_a_file_describes_a_device(board: Path):
    found = device_profile(str(board))
    assert (found.name, found.ram_nbytes, found.flash_nbytes, found.triple) == (
        "board", 96 * 1024, None, "thumbv7em-none-eabi"
    )  # fmt: skip
    assert found.memories[0].nbytes == 98304
    assert not found.memories[0].software_managed
    assert device_profile(found) is found


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('ram = "96KiB"', 'ram = "lots"', r"key 'ram': expected a size such as \"320KiB\" or 327680, found 'lots'"),
        ('ram = "96KiB"\n', "", "missing key 'ram': expected a size"),
        ('ram = "96KiB"', 'ram = "0.3B"', "key 'ram': expected a size"),
        ("cores = 1", "cores = 0", "key 'cores': expected a whole number of at least 1, found 0"),
        ("cores = 1", "cores = true", "key 'cores': expected a whole number"),
        ("cores = 1", "cors = 1", "missing key 'cores'"),
        ("cores = 1", "cores = 1\nspeed = 3", "key 'speed' is unknown: expected one of aliases, arithmetic"),
        ('name = "board"', 'name = ""', "key 'name': expected a string, found ''"),
        ('kind = "llvm"', "", "missing key 'target.kind'"),
        ('kind = "llvm"', 'kind = "llvm"\nhost = {kind = "c"}', "key 'target.host': expected a string, a number"),
        ("call-seconds = 0", "call-seconds = -1", "key 'sustained.call-seconds': expected a number of at least 0"),
        ("call-seconds = 0", "call-seconds = nan", "key 'sustained.call-seconds'"),
        ("flops-per-second = 1e7", "flops-per-second = 0", "'sustained.flops-per-second': expected a number greater"),
        ("size = 98304", "size = 9.5", r"key 'memories\[0\].size'"),
        ("size = 98304", "size = 98304\nsoftware-managed = 1", r"'memories\[0\].software-managed': expected true or"),
        ("[[memories]]", "[memories]", r"key 'memories': expected tables \[\[memories\]\]"),
        ('["its data sheet"]', '"its data sheet"', "key 'sources': expected a list of strings"),
        ("[target]", "[target", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_one_line_with_the_key_and_what_was_expected(board: Path, old: str, new: str, says: str):
    assert old in BOARD
    board.write_text(BOARD.replace(old, new, 1))
    with pytest.raises(MemoptError, match=says) as caught:
        read_profile(board)
    assert str(board) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(MemoptError, match=r"none\.toml: cannot be read: No such file"):
        device_profile(tmp_path / "none.toml")


def test_a_file_that_is_not_text_is_not_toml(tmp_path: Path):
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(MemoptError, match="not valid TOML"):
        device_profile(tmp_path / "bytes.toml")


@pytest.mark.parametrize(
    ("arena", "io", "weights", "verdict"),
    [
        (300 * 1024, 20 * 1024, 2**20, "fits cortex-m7"),
        (300 * 1024, 20 * 1024 + 1, 2**20, "does not fit cortex-m7, by 1 bytes of RAM"),
        (1000, 24, 2**20 + 5, "does not fit cortex-m7, by 5 bytes of flash"),
        (320 * 1024, 7, 2**20 + 5, "does not fit cortex-m7, by 7 bytes of RAM and 5 bytes of flash"),
    ],
)
def test_the_verdict_counts_what_is_missing(arena: int, io: int, weights: int, verdict: str):
    fit = DEVICES["cortex-m7"].fit(arena, io, weights)
    assert fit.verdict == verdict
    assert fit.text.startswith(f"{verdict}: ")
    assert fit.fits == verdict.startswith("fits")


def test_weights_are_in_ram_where_there_is_no_flash():
    board = DEVICES["cortex-a7"]
    assert board.fit(2**29, 2**28, 2**28).fits
    assert board.fit(2**29, 2**28, 2**28 + 3).excess_nbytes == 3
    assert board.arena_limit(2**28, 2**28) == 2**29
    assert DEVICES["cortex-m7"].arena_limit(1024, 2**28) == 319 * 1024


@pytest.mark.skipif(sys.version_info < (3, 11), reason="reads with the standard library's own TOML reader")
def test_every_file_of_the_package_has_its_own_name():
    folder = Path(sys.modules["tvm_memopt.targets"].__file__ or "").parent / "devices"
    assert {path.stem for path in folder.glob("*.toml")} == set(DEVICES)

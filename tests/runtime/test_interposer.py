import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tvm_memopt
from tvm_memopt.errors import MemoptError
from tvm_memopt.runtime.interposer import Meter, build_interposer, cache_directory, preload_environment

ROOT = str(Path(tvm_memopt.__file__).parent.parent)

PROBE = """
import ctypes, json, sys, threading
sys.modules["torch"] = None  # TVM imports it if it can; start-up is quicker without
import tvm
from tvm_memopt.runtime.interposer import Meter
libc = ctypes.CDLL(None)
libc.free.argtypes = [ctypes.c_void_p]
libc.realloc.argtypes, libc.realloc.restype = [ctypes.c_void_p, ctypes.c_size_t], ctypes.c_void_p
def aligned(nbytes):
    address = ctypes.c_void_p()
    assert libc.posix_memalign(ctypes.byref(address), ctypes.c_size_t(64), ctypes.c_size_t(nbytes)) == 0
    return address
meter = Meter()
meter.start()
one = aligned(1000)
two = ctypes.c_void_p(libc.realloc(aligned(3000), 5000))  # from here on an ordinary block
libc.free(one)
log = [[e.kind, e.nbytes, e.alignment] for e in meter.events()]
serial = meter.counters()["foreign"]
meter.stop()
late = meter.counters()["foreign"]
libc.free(two)
meter.start()
def work():
    for _ in range(300):
        blocks = [aligned(128) for _ in range(40)]
        for block in blocks:
            libc.free(block)
threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
busy = meter.counters()["foreign"]
meter.stop()
print(json.dumps([log, [serial.current, serial.peak, serial.total, serial.blocks], late.current,
                  [busy.current, busy.peak, busy.total, busy.blocks]]))
"""


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "tvm-memopt"


def test_every_aligned_block_is_counted_in_all_threads(interposer):
    environment = {**preload_environment(), "PYTHONPATH": ROOT}
    done = subprocess.run([sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=True)
    log, serial, late_current, (current, peak, total, blocks) = json.loads(done.stdout)
    assert log == [["allocated", 1000, 64], ["allocated", 3000, 64], ["freed", 3000, 64], ["freed", 1000, 64]]
    assert serial == [0, 4000, 4000, 2]
    assert late_current == 0
    assert (current, total, blocks) == (0, 4 * 300 * 40 * 128, 4 * 300 * 40)
    assert 40 * 128 <= peak <= 4 * 40 * 128


def test_it_is_compiled_once_and_kept(interposer, empty_cache):
    first = build_interposer()
    made = first.stat().st_mtime_ns
    assert first.parent == empty_cache == cache_directory()
    assert build_interposer() == first
    assert first.stat().st_mtime_ns == made
    assert list(empty_cache.iterdir()) == [first]


def test_it_stands_before_what_is_preloaded_already(interposer, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", "/opt/other.so")
    assert preload_environment()["LD_PRELOAD"] == f"{interposer}:/opt/other.so"
    monkeypatch.delenv("LD_PRELOAD")
    assert preload_environment()["LD_PRELOAD"] == str(interposer)


def test_a_missing_compiler_is_named(empty_cache, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(MemoptError, match=r"none of no-such-compiler was found.*install gcc"):
        build_interposer()
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(MemoptError, match="none of cc, gcc, clang was found"):
        build_interposer()


def test_a_failing_compiler_leaves_nothing_behind(empty_cache, monkeypatch):
    monkeypatch.setenv("CC", "false")
    with pytest.raises(MemoptError, match="false cannot compile"):
        build_interposer()
    assert list(empty_cache.iterdir()) == []


def test_a_cache_that_cannot_be_made_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("CC", sys.executable)
    with pytest.raises(MemoptError, match="cannot be created"):
        build_interposer()


def test_there_is_no_meter_without_the_preload():
    with pytest.raises(MemoptError, match="not loaded"):
        Meter()

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.solvers.order.learned.networks import random_checkpoint
from tvm_memopt.errors import MemoptError
from tvm_memopt.solvers.order.learned import read_checkpoint, write_checkpoint
from tvm_memopt.solvers.order.learned.checkpoint import SHIPPED


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "checkpoint.npz"
    write_checkpoint(path, random_checkpoint())
    return path


def _changed(path, change):
    """Write the file anew after ``change(head, arrays)``."""
    with np.load(path) as content:
        arrays = {name: content[name] for name in content.files}
    head = json.loads(arrays.pop("head").tobytes())
    change(head, arrays)
    np.savez(path, head=np.frombuffer(json.dumps(head).encode(), np.uint8), **arrays)


def _error(path):
    with pytest.raises(MemoptError) as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_what_is_written_is_read(file):
    kept, written = read_checkpoint(file), random_checkpoint()
    assert kept.config == written.config
    assert kept.story == {"seed": 0}
    assert kept.digest == written.digest != random_checkpoint(seed=1).digest
    for name, array in written.weights.items():
        np.testing.assert_array_equal(kept.weights[name], array)


def test_a_file_that_is_cut_short_is_one_clear_line(file):
    content = file.read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:length])
        assert "damaged" in _error(file)


def test_a_flipped_byte_is_noticed(file):
    content = bytearray(file.read_bytes())
    for place in range(60, len(content), len(content) // 7):
        broken = content.copy()
        broken[place] ^= 0xFF
        file.write_bytes(broken)
        try:
            kept = read_checkpoint(file)
        except MemoptError:
            continue
        assert kept.digest == random_checkpoint().digest  # a byte that says nothing


def test_other_contents_are_refused_in_one_line(file, tmp_path):
    original = file.read_bytes()

    def refused(change):
        file.write_bytes(original)
        _changed(file, change)
        return _error(file)

    assert "format 'memopt-topoformer/9'" in refused(lambda head, _: head.update(format="memopt-topoformer/9"))
    assert "other features" in refused(lambda head, _: head["features"].pop())
    assert "configuration" in refused(lambda head, _: head["config"].update(depth=3))
    assert "shapes" in refused(lambda _, arrays: arrays.pop("weights/embed.bias"))
    assert "finite" in refused(lambda _, arrays: arrays["weights/embed.bias"].fill(np.nan))
    assert "checksum" in refused(lambda _, arrays: arrays["weights/embed.bias"].fill(0.5))
    assert "cannot be read" in _error(tmp_path / "missing.npz")


def test_loading_never_unpickles(file):
    np.savez(file, head=np.array([object()], dtype=object))
    assert "damaged" in _error(file)


@pytest.mark.skipif(not SHIPPED.exists(), reason="this checkout holds no trained checkpoint")
def test_the_shipped_checkpoint_is_whole_and_small():
    shipped = read_checkpoint(SHIPPED)
    assert shipped.config == replace(shipped.config, transforms=True, encoding=True, state=True)
    assert SHIPPED.stat().st_size < 4_000_000
    assert (SHIPPED.parent / "MODEL_CARD.md").exists()

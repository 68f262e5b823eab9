import os
import stat

import pytest

from tvm_memopt.atomic import atomic_path, write_text_atomic
from tvm_memopt.errors import MemoptError


def test_a_file_appears_with_its_text_and_ordinary_permissions(tmp_path):
    write_text_atomic(tmp_path / "new.txt", "größe\n")
    assert (tmp_path / "new.txt").read_text(encoding="utf-8") == "größe\n"
    (tmp_path / "plain.txt").touch()
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("new.txt", "plain.txt")}
    assert len(modes) == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_an_error_inside_the_block_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "old.txt"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError), atomic_path(path) as temporary:
        temporary.write_text("half of the n" + 10_000 * " " + "\udc80", encoding="utf-8")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(MemoptError, match=r"new\.txt: cannot be written: No such file or directory"):
        write_text_atomic(tmp_path / "none" / "new.txt", "text")


def test_a_link_is_followed_not_replaced(tmp_path):
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_text_atomic(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


def test_a_pipe_is_written_to_not_replaced(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_text_atomic(path, "through the pipe")
        assert os.read(reader, 100) == b"through the pipe"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert list(tmp_path.iterdir()) == [path]

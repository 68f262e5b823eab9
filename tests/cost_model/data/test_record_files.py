import pytest

from tvm_memopt.cost_model.data.record_files import RECORDS, mend, mend_database

WHOLE = b'[0,{"a":1}]\n[0,{"b":2}]\n'


@pytest.mark.parametrize("content", [b"", WHOLE])
def test_a_whole_file_is_left_as_it_is(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert mend(path) is None
    assert path.read_bytes() == content


def test_a_missing_file_is_whole(tmp_path):
    assert mend(tmp_path / "file") is None


@pytest.mark.parametrize("cut", [1, 5, len(b'[0,{"b":2}]') - 1])
def test_a_torn_last_line_is_left_out_with_one_line_of_warning(tmp_path, cut):
    path = tmp_path / RECORDS
    path.write_bytes(WHOLE[: len(WHOLE) // 2 + cut])
    (warning,) = mend_database(tmp_path)
    assert f"{path}: the last line was torn ({cut} bytes)" in warning
    assert "1 lines are kept" in warning
    assert path.read_bytes() == WHOLE[: len(WHOLE) // 2]
    assert mend_database(tmp_path) == []


def test_a_line_that_only_lacks_its_end_is_kept(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(WHOLE[:-1])
    assert mend(path) is None
    assert path.read_bytes() == WHOLE


def test_a_file_of_one_torn_line_becomes_empty(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b'[0,{"a"')
    assert "0 lines are kept" in (mend(path) or "")
    assert path.read_bytes() == b""

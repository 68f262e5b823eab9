from pathlib import Path

import pytest

from tvm_memopt.errors import GraphError
from tvm_memopt.solvers.layout.buffers_csv import placed_csv, read_buffers


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "buffers.csv"
    path.write_text(text)
    return path


def test_the_file_comes_back_with_offsets_and_all_its_columns(tmp_path: Path) -> None:
    table = read_buffers(written(tmp_path, "id,lower,upper,size,alignment\nx,10,20,4,64\ny,20,30,5,1\n"))
    assert [(b.first, b.last, b.nbytes) for b in table.lives.buffers] == [(0, 1, 4), (2, 3, 5)]
    assert placed_csv(table, [0, 7]) == "id,lower,upper,size,alignment,offset\nx,10,20,4,64,0\ny,20,30,5,1,7\n"


def test_an_offset_column_is_replaced(tmp_path: Path) -> None:
    table = read_buffers(written(tmp_path, "offset,id,lower,upper,size\n9,0,0,1,4\n"))
    assert placed_csv(table, [0]) == "offset,id,lower,upper,size\n0,0,0,1,4\n"


def test_a_header_alone_has_no_buffers(tmp_path: Path) -> None:
    assert read_buffers(written(tmp_path, "id,lower,upper,size\n")).rows == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("line 1", "no column 'id'")),
        ("id,lower,size\n0,0,1\n", ("line 1", "no column 'upper'")),
        ("id,lower,upper,size\n0,0,1,-4\n", ("line 2", "size is -4")),
        (f"id,lower,upper,size\n0,0,1,{2**61}\n", ("line 2", f"size is {2**61}")),
        (f"id,lower,upper,size\n0,0,1,{2**60}\n1,0,1,{2**60}\n", ("in all",)),
        ("id,lower,upper,size\n0,0,1,4\n\n1,5,5,4\n", ("line 4", "from 5 to 5")),
        ("id,lower,upper,size\n0,0,1,4.5\n", ("line 2", "size is '4.5'")),
        ("id,lower,upper,size\n0,0,1\n", ("line 2", "3 cells")),
        ("id,lower,upper,size\n0,0,1,4\n0,1,2,4\n", ("line 3", "appears in line 2")),
        (f"id,lower,upper,size\n0,0,{10**30},4\n", ("line 2", "lower < upper")),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    path = written(tmp_path, text)
    with pytest.raises(GraphError) as refused:
        read_buffers(path)
    for word in (str(path), *words):
        assert word in str(refused.value)

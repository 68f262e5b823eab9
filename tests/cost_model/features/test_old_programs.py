"""Programs of the Relay-era TVM, stored as it writes them, beside the rows of the same loops in the present TVM."""

import json
from pathlib import Path

import numpy as np
import pytest

from tvm_memopt.cost_model.features.columns import EDGE_COLUMNS, LOOP, NODE_COLUMNS, STATEMENT
from tvm_memopt.cost_model.features.extract import extract_old
from tvm_memopt.cost_model.features.unit_loops import without_unit_loops

FOLDER = Path(__file__).parent / "old_programs"
CASES = ("matmul", "tiled_matmul", "conv2d_relu", "softmax")


@pytest.fixture(autouse=True, scope="session")
def light_intrinsics():
    """No TVM is needed here."""


def text(name):
    return (FOLDER / f"{name}.json").read_text()


def graphs(name):
    return without_unit_loops(extract_old([text(name)]))


@pytest.mark.parametrize("name", CASES)
def test_rows_are_those_of_the_same_loops_in_the_present_tvm(name):
    found, expected = graphs(name), json.loads((FOLDER / f"{name}.rows.json").read_text())
    for kind, columns in NODE_COLUMNS.items():
        rows = np.reshape(expected["nodes"][kind], (-1, len(columns)))
        np.testing.assert_array_equal(found.nodes[kind], rows, err_msg=kind)
    for key, columns in EDGE_COLUMNS.items():
        ends, values = expected["edges"][" ".join(key)]
        np.testing.assert_array_equal(found.edges[key], ends, err_msg=str(key))
        rows = np.reshape(values, (len(ends[0]), len(columns)))
        np.testing.assert_array_equal(found.edge_values[key], rows, err_msg=str(key))


def test_several_programs_are_those_extracted_alone():
    batch = without_unit_loops(extract_old([text(name) for name in CASES]))
    for number, name in enumerate(CASES):
        alone, one = graphs(name), batch.select([number])
        for kind in NODE_COLUMNS:
            np.testing.assert_array_equal(one.nodes[kind], alone.nodes[kind])
        for key in EDGE_COLUMNS:
            np.testing.assert_array_equal(one.edges[key], alone.edges[key])
            np.testing.assert_array_equal(one.edge_values[key], alone.edge_values[key])


def test_the_arithmetic_of_split_loops_is_no_work_of_a_padding():
    padding = dict(zip(STATEMENT, graphs("conv2d_relu").nodes["statement"][0], strict=True))
    assert [padding[name] for name in ("int_compare", "logic", "select")] == [4, 3, 1]
    assert [padding[name] for name in ("int_add", "int_mul", "int_div")] == [0, 0, 0]
    assert padding["recompute"] == 3.5  # 14 tiles of 8 x 4 x 16 points for 8 x 16 x 16


def test_the_pragma_reaches_the_loops_and_stores_under_it():
    found = graphs("tiled_matmul")
    assert set(found.nodes["statement"][:, STATEMENT.index("auto_unroll")]) == {16}
    assert set(found.nodes["loop"][:, LOOP.index("auto_unroll")]) == {16}
    assert set(graphs("matmul").nodes["loop"][:, LOOP.index("auto_unroll")]) == {0}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda whole: whole[: len(whole) // 2], "damaged: expected"),
        (lambda whole: "", "damaged: expected '{' at character 0"),
        (lambda whole: "[]", "damaged: expected"),
        (lambda whole: whole.replace('"root": 1', '"root": 99999'), "damaged: expected a root node"),
        (lambda whole: whole.replace('"root": 1', '"root": 2'), "expected a tir.PrimFunc"),
        (lambda whole: whole.replace('"indices": "', '"indices": "9'), "it has no node 9"),
        (lambda whole: whole.replace('"extent"', '"width"'), "a node tir.For has no extent"),
        (lambda whole: whole.replace('"extent": "', '"extent": "x'), "expected an integer"),
    ],
    ids=["torn", "empty", "list", "root", "function", "reference", "name", "number"],
)
def test_a_damaged_program_is_one_line(change, reason):
    with pytest.raises(ValueError, match=reason):
        extract_old([change(text("matmul"))])


def test_no_program_gives_an_empty_batch():
    assert len(extract_old([])) == 0

"""Parsing shapes and filling in dynamic dimensions, without any model."""

import pytest

from tvm_memopt.errors import FrontendError
from tvm_memopt.frontends import SymbolicDim, parse_shape, parse_shapes
from tvm_memopt.frontends.shapes import resolve_shapes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x=1,3,224,224", ("x", (1, 3, 224, 224))),
        (" ids = 1, 64 ", ("ids", (1, 64))),
        ("rate=", ("rate", ())),
        ("serving_default:0=7", ("serving_default:0", (7,))),
        ("x=n:128,64", ("x", (SymbolicDim("n", 128), 64))),
    ],
)
def test_a_shape_is_a_name_and_dimensions(text, expected):
    assert parse_shape(text) == expected


@pytest.mark.parametrize("text", ["x", "=1,2", "x=1,,2", "x=1,a", "x=0,3", "x=-1,3", "x=1.5", "x=n:0", "x=2:3", "x=²"])
def test_bad_text_is_quoted_in_one_line(text):
    with pytest.raises(FrontendError) as caught:
        parse_shape(text)
    assert repr(text) in str(caught.value)
    assert "such as" in str(caught.value)


def test_one_input_cannot_get_two_shapes():
    with pytest.raises(FrontendError, match="input 'x' was given a shape already"):
        parse_shapes(["x=1,2", "y=3", "x=2,2"])


def test_static_inputs_need_nothing():
    assert resolve_shapes({}, {"x": (1, 3), "rate": ()}) == {"x": (1, 3), "rate": ()}


def test_a_named_dimension_given_once_counts_for_every_input():
    declared = {"ids": ("batch", "seq"), "mask": ("batch", "seq"), "state": (2, "batch")}
    resolved = resolve_shapes({"ids": (1, 64)}, declared)
    assert resolved == {"ids": (1, 64), "mask": (1, 64), "state": (2, 1)}


def test_missing_shapes_name_every_input_and_dimension():
    declared = {"x": ("N", 3, None), "y": (1,), "z": None, "w": ("M",)}
    with pytest.raises(FrontendError) as caught:
        resolve_shapes({"w": (4,)}, declared)
    text = str(caught.value)
    assert "'x' at dimension 0 (N), 2 (unnamed)" in text
    assert "'z' (rank unknown)" in text
    assert "--shape x=?,3,?" in text
    assert "'y'" not in text
    assert "'w'" not in text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data": (1,)}, "no input is named 'data'; the inputs are 'x'"),
        ({"x": (1, 3, 5)}, r"input 'x' has 2 dimensions \(N,3\); the shape given has 3"),
        ({"x": (1, 4)}, "dimension 1 is fixed at 3 in the model, not 4"),
        ({"x": (1, SymbolicDim("n", 4))}, "dimension 1 is fixed at 3 in the model, not n:4"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(given, message):
    with pytest.raises(FrontendError, match=message):
        resolve_shapes(given, {"x": ("N", 3)})


def test_a_bounded_name_may_stay_symbolic():
    assert resolve_shapes({}, {"x": ("n", 3)}, {"n": 16}) == {"x": (SymbolicDim("n", 16), 3)}
    assert resolve_shapes({"x": (4, 3)}, {"x": ("n", 3)}, {"n": 16}) == {"x": (4, 3)}


def test_a_symbolic_dimension_has_one_bound():
    given = {"x": (SymbolicDim("n", 4),), "y": (SymbolicDim("n", 5),)}
    with pytest.raises(FrontendError, match="'n' was given two upper bounds: 4, 5"):
        resolve_shapes(given, {"x": ("a",), "y": ("b",)})

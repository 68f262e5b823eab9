from hypothesis import given
from hypothesis import strategies as st

from tests.twins.features.linear_form import (
    Form,
    Term,
    add,
    either,
    floor_divide,
    floor_modulo,
    loop_form,
    multiply,
    upper_bound,
)

EXTENTS = st.integers(1, 12)


def value(form, variables):
    return form.constant + sum(
        t.coefficient * (variables[t.loop] // t.divisor % t.values if t.values else 0) for t in form.terms
    )


@given(EXTENTS, EXTENTS, EXTENTS)
def test_a_fused_loop_splits_into_its_digits(first, second, third):
    fused = loop_form(0, 0, first * second * third)
    digits = [
        floor_divide(fused, Form(second * third)),
        floor_modulo(floor_divide(fused, Form(third)), Form(second)),
        floor_modulo(fused, Form(third)),
    ]
    for v in range(first * second * third):
        expected = [v // (second * third), v // third % second, v % third]
        assert [value(digit, {0: v}) for digit in digits] == expected


@given(EXTENTS, EXTENTS)
def test_a_split_index_divided_by_its_factor_gives_the_loops_back(outer, inner):
    index = add(multiply(loop_form(0, 0, outer), Form(inner)), loop_form(1, 0, inner))
    for i in range(outer):
        for j in range(inner):
            assert value(floor_divide(index, Form(inner)), {0: i, 1: j}) == i
            assert value(floor_modulo(index, Form(inner)), {0: i, 1: j}) == j


@given(st.integers(-9, 9), st.integers(1, 9))
def test_constants_divide_as_in_python(constant, divisor):
    assert floor_divide(Form(constant), Form(divisor)) == Form(constant // divisor)
    assert floor_modulo(Form(constant), Form(divisor)) == Form(constant % divisor)


def test_terms_of_one_digit_merge_and_cancel():
    i = loop_form(3, 0, 5)
    assert add(i, i).terms == (Term(3, 1, 5, 2),)
    assert add(i, i, -1) == Form()


def test_what_is_no_sum_of_digits_is_irregular():
    i, j = loop_form(0, 0, 4), loop_form(1, 0, 4)
    assert multiply(i, j).irregular
    assert floor_divide(i, j).irregular
    assert floor_modulo(i, Form(0)).irregular
    assert add(i, Form(0, (), True)).irregular


def test_a_clamped_index_moves_as_the_one_that_it_clamps():
    i = loop_form(0, 2, 4)
    assert either(Form(7), i).terms == i.terms
    assert upper_bound(i) == 5

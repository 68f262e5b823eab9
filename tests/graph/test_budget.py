import pytest

from tests.graph.two_branches import KIB, TWO_BRANCHES
from tvm_memopt.errors import BudgetError
from tvm_memopt.graph import Graph, Op, Tensor, check_budget_syntax, parse_budget


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        (196608, 196608),
        ("196608", 196608),
        ("196608B", 196608),
        ("192KiB", 196608),
        (" 192 KiB ", 196608),
        ("0.5MiB", 524288),
        ("1.5GiB", 1610612736),
        ("100%", 176 * KIB),
        ("80%", 144180),  # 144179.2 rounded up
        ("12.5 %", 22 * KIB),
        ("150%", 264 * KIB),
        ("0.0001%", 1),
    ],
)
def test_a_budget_is_bytes_or_a_share_of_the_given_orders_peak(text: str | int, nbytes: int) -> None:
    assert parse_budget(text, TWO_BRANCHES) == nbytes
    check_budget_syntax(text)


@pytest.mark.parametrize(
    "text",
    ["", "lots", "-5", "12KB", "12kib", "1e6", "80%%", "%", "0.3", "1.0001KiB", "0x10", "1 2", "nan", "9" * 5000, "٣"],
)
def test_what_is_no_budget_is_refused_with_examples(text: str) -> None:
    for refuse in (lambda: parse_budget(text, TWO_BRANCHES), lambda: check_budget_syntax(text)):
        with pytest.raises(BudgetError, match=r"^budget '.*': "):
            refuse()


@pytest.mark.parametrize("text", [0, -1, "0", "0KiB", "0%", "0.0%"])
def test_a_budget_is_more_than_nothing(text: str | int) -> None:
    for refuse in (lambda: parse_budget(text, TWO_BRANCHES), lambda: check_budget_syntax(text)):
        with pytest.raises(BudgetError, match="expected more than 0 bytes"):
            refuse()


def test_a_share_of_an_empty_peak_is_refused() -> None:
    with pytest.raises(BudgetError, match="expected more than 0 bytes"):
        parse_budget("80%", Graph("empty", (Tensor("y", 0),), (Op("y", (), (0,)),)))

import pytest

from tvm_memopt.report.units import (
    byte_ticks,
    change,
    clip_text,
    exact_bytes,
    percent,
    printable,
    seconds_text,
    short_bytes,
    step_ticks,
)


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (180224, "176 KiB"), (1500, "1.46 KiB"), (5 * 2**30, "5 GiB")],
)
def test_the_unit_of_bytes_follows_their_size(nbytes: int, text: str) -> None:
    assert short_bytes(nbytes) == text


def test_exact_bytes_say_the_count_and_the_same_in_kib() -> None:
    assert exact_bytes(180224) == "180224 B (176 KiB)"
    assert exact_bytes(1000) == "1000 B (1.0 KiB)"


def test_a_change_has_its_sign_and_nothing_is_said_of_no_change() -> None:
    assert change(256, 176) == "−31.2%"
    assert change(100, 101) == "+1.0%"
    assert change(100, 100) == change(0, 5) == ""


def test_a_tiny_negative_share_is_plain_zero() -> None:
    assert percent(-0.00001) == "0.0%"


def test_seconds_choose_their_unit() -> None:
    assert [seconds_text(s) for s in (2.0, 0.0125, 3.5e-6)] == ["2 s", "12.5 ms", "3.50 µs"]


@pytest.mark.parametrize("limit", [0, 1, 7, 1000, 180224, 13484795520])
def test_byte_ticks_rise_evenly_from_zero_within_the_limit(limit: int) -> None:
    values = [value for value, _ in byte_ticks(limit, 6)]
    assert values[0] == 0
    assert values == sorted(set(values))
    assert all(value <= max(limit, 0) for value in values)
    assert len(values) <= 7


def test_step_ticks_lie_between_the_ends() -> None:
    assert step_ticks(0, 5, 10) == [0, 1, 2, 3, 4, 5]
    assert step_ticks(340, 700, 4) == [400, 500, 600, 700]
    assert step_ticks(0, 0) == [0]


def test_long_text_keeps_head_and_tail() -> None:
    assert clip_text("fused_conv2d_add_relu", 10) == "fused_…elu"
    assert len(clip_text("x" * 50, 12)) == 12
    assert clip_text("short", 5) == "short"


def test_characters_that_no_file_can_carry_are_replaced() -> None:
    assert printable("a\x00b\nc\ud800") == "a�b�c�"

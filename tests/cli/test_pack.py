import csv
import json
import os
import signal
import threading
from pathlib import Path

import pytest

from tests.cli.running import assert_refused, nothing_left_behind

INSTANCES = Path(__file__).parents[1] / "data" / "minimalloc"
FIVE = "id,lower,upper,size\na,0,3,4\nb,0,2,3\nc,2,5,3\nd,3,6,5\ne,5,7,7\n"


@pytest.fixture
def five(tmp_path):
    path = tmp_path / "five.csv"
    path.write_text(FIVE)
    return path


def placed(path):
    """(lower, upper, offset, end) of each row, after a check that no two live ones share a byte."""
    with path.open() as file:
        rows = [{k: v if k == "id" else int(v) for k, v in row.items()} for row in csv.DictReader(file)]
    spans = [(r["lower"], r["upper"], r["offset"], r["offset"] + r["size"]) for r in rows]
    for i, (lower, upper, low, high) in enumerate(spans):
        assert low >= 0
        for a, b, c, d in spans[:i]:
            assert upper <= a or b <= lower or high <= c or d <= low
    return spans


def test_the_smallest_arena_is_found_and_said_to_be_optimal(command, five, tmp_path):
    result = command("pack", five, "-o", tmp_path / "placed.csv", "--json")
    assert (result.status, result.err) == (0, "")
    document = json.loads(result.out)
    top = max(end for *_, end in placed(tmp_path / "placed.csv"))
    assert document["arena_nbytes"] == document["lower_bound_nbytes"] == top == 12
    assert (document["status"], document["buffers"]) == ("optimal", 5)


def test_the_text_names_the_file_and_the_arena(command, five, tmp_path):
    result = command("pack", five, "-o", tmp_path / "placed.csv")
    assert (result.status, result.err) == (0, "")
    assert f"{tmp_path / 'placed.csv'}: 5 buffers, arena 12 bytes, bound 12, optimal" in result.out


def test_a_published_instance_fits_in_its_capacity(command, tmp_path):
    source, target = INSTANCES / "B.1048576.csv", tmp_path / "placed.csv"
    assert command("pack", source, "-o", target, "--capacity", 1 << 20, "--threads", 1, "--seed", 7).status == 0
    spans = placed(target)
    assert len(spans) == 170
    assert max(end for *_, end in spans) <= 1 << 20


def test_a_capacity_below_the_load_is_refused_with_status_3(command, five, tmp_path):
    with nothing_left_behind(tmp_path):
        result = command("pack", five, "-o", tmp_path / "placed.csv", "--capacity", 11)
    assert_refused(result, "five.csv", "capacity of 11 bytes", "12 bytes", status=3)


def test_no_placement_in_the_time_ends_with_status_4(command, tmp_path):
    with nothing_left_behind(tmp_path):
        result = command(
            "pack", INSTANCES / "J.1048576.csv", "-o", tmp_path / "new.csv", "--capacity", 989184, "--time-limit", 1e-6
        )
    assert_refused(result, "989184 bytes", "time limit", status=4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (FIVE.replace("upper", "until"), ("line 1", "'upper'")),
        (FIVE.replace("c,2,5,3", "c,2,2,3"), ("line 4", "lower < upper")),
        (FIVE.replace("e,5,7,7", "e,5,7,-7"), ("line 6", "size is -7")),
        (FIVE.replace("e,5,7,7", f"e,5,7,{2**63}"), ("line 6", str(2**63))),
    ],
)
def test_a_bad_file_is_refused(command, tmp_path, text, words):
    (tmp_path / "bad.csv").write_text(text)
    with nothing_left_behind(tmp_path):
        assert_refused(command("pack", tmp_path / "bad.csv", "-o", tmp_path / "placed.csv"), "bad.csv", *words)


@pytest.mark.parametrize("options", [("--time-limit", 0), ("--threads", 0), ("--time-limit", "soon")])
def test_a_bad_option_is_refused(command, five, tmp_path, options):
    with nothing_left_behind(tmp_path):
        assert_refused(command("pack", five, "-o", tmp_path / "placed.csv", *options))


def test_a_missing_file_is_refused(command, tmp_path):
    assert_refused(command("pack", tmp_path / "none.csv", "-o", tmp_path / "placed.csv"), "none.csv", "cannot be read")


def test_ctrl_c_keeps_the_best_so_far(command, tmp_path):
    """J's arena cannot reach its bound in the time that the signal takes."""
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    result = command("pack", INSTANCES / "J.1048576.csv", "-o", tmp_path / "placed.csv", "--time-limit", 600, "--json")
    timer.join()
    assert result.status == 0
    assert "best offsets so far" in result.err
    document = json.loads(result.out)
    assert max(end for *_, end in placed(tmp_path / "placed.csv")) == document["arena_nbytes"]


@pytest.mark.parametrize("capacity", ["0", "-1", "99999999999999999999999", "many"])
def test_a_capacity_that_is_none_is_refused(command, five, tmp_path, capacity):
    result = command("pack", five, "-o", tmp_path / "placed.csv", "--capacity", capacity)
    assert_refused(result, "--capacity", capacity)
    assert not (tmp_path / "placed.csv").exists()

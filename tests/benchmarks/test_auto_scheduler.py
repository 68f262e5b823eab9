import os

import pytest

from benchmarks.auto_scheduler import check
from benchmarks.auto_scheduler.figures import render


def run(predict, update, checks, seconds=(1.0, 2.0)):
    return {
        "rounds": 2, "predict_seconds": predict, "predicted": 100, "update_seconds": update, "updated": 8, "wall": 60.0,
        "checks": checks, "seconds": list(seconds),
    }  # fmt: skip


def document():
    runs = {
        "matmul/gcn/0": run(2.0, 1.0, ["right", "right"]),
        "matmul/xgb/0": run(4.0, 0.5, ["right"], (1.0, None)),
        "conv/gcn/0": run(4.0, 3.0, ["right", "wrong"]),
        "conv/xgb/0": run(4.0, 0.5, ["right", "crashed"]),
    }
    pairs = [
        {"case": "matmul", "seed": 0, "gcn": 1e-6, "xgb": 2e-6},
        {"case": "conv", "seed": 0, "gcn": 2e-6, "xgb": 1e-6},
    ]
    return {"runs": runs, "pairs": pairs}


def test_the_tables_show_pairs_means_and_what_the_models_took():
    lines = [" ".join(line.split()) for line in render(document()).splitlines()]
    assert "| matmul | 0 | 1.000 | 2.000 | 0.500 |" in lines
    assert "| gcn | 2 | 1.500 | 50 | 30.000 | 2.000 | 60.000 |" in lines
    assert "| xgb | 2 | 2.000 | 50 | 40.000 | 0.500 | 60.000 |" in lines
    assert lines[-2].startswith("2 pairs: gcn / xgb: geometric mean 1.000, better in 1, worse in 1")
    assert lines[-1].startswith("7 records that ran: 5 right, 1 wrong, 1 crashed")
    assert lines[-1].endswith("1 more did not run")


def test_without_a_complete_pair_there_is_no_table():
    assert render({"runs": {}, "pairs": []}) == "no pair is complete"


def dies_at_bad(pipe, _case, records):
    """In the place of a check: the child ends where a record is bad."""
    for record in records:
        if record == "bad":
            os._exit(11)
        pipe.send("right")


@pytest.mark.parametrize("records", [["good", "bad", "good"], ["bad", "bad"], ["good"], []])
def test_a_record_that_ends_its_process_is_counted_and_the_rest_checked(monkeypatch, records):
    monkeypatch.setattr(check, "_check_all", dies_at_bad)
    assert check.check("case", records) == ["crashed" if record == "bad" else "right" for record in records]

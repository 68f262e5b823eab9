import sys

from tvm_memopt.cost_model.measure.worker_pool import WorkerPool

# Echoes a number; "die", "hang" and "quit" do what they say.
CHILD = """
import json, os, signal, sys, time
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    wanted = json.loads(line)["wanted"]
    if wanted == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    if wanted == "quit":
        os._exit(3)
    if wanted == "hang":
        sys.stdin.read()
    print(json.dumps({"got": wanted, "process": os.getpid()}), flush=True)
"""
COMMAND = (sys.executable, "-c", CHILD)


def ask(pool, *wanted, **more):
    return [future.result() for future in [pool.submit({"wanted": one, **more}) for one in wanted]]


def test_replies_come_back_to_their_requests():
    with WorkerPool(2, 30, COMMAND) as pool:
        assert [reply["got"] for reply in ask(pool, *range(20))] == list(range(20))


def test_one_process_serves_many_requests():
    with WorkerPool(1, 30, COMMAND) as pool:
        assert len({reply["process"] for reply in ask(pool, 1, 2, 3)}) == 1


def test_a_crash_costs_one_request_and_says_how_it_ended():
    with WorkerPool(1, 30, COMMAND) as pool:
        first, crashed, gone, last = ask(pool, 1, "die", "quit", 2)
    assert (first["got"], last["got"]) == (1, 2)
    assert crashed["error"] == "the worker process was ended by SIGSEGV"
    assert gone["error"] == "the worker process ended with status 3"


def test_a_hanging_request_is_ended_in_time_and_the_next_is_served():
    with WorkerPool(1, 30, COMMAND) as pool:
        (hung,) = ask(pool, "hang", timeout=0.2)
        (served,) = ask(pool, 5)
    assert hung["error"] == "timed out after 0.2 s"
    assert served["got"] == 5


def test_a_process_that_cannot_start_is_an_error_and_no_hang():
    with WorkerPool(1, 30, (sys.executable, "-c", "raise SystemExit(7)")) as pool:
        (reply,) = ask(pool, 1)
    assert reply["error"] == "the worker process did not start: the worker process ended with status 7"


def test_closing_ends_what_is_running_and_what_waits():
    pool = WorkerPool(1, 60, COMMAND)
    futures = [pool.submit({"wanted": wanted}) for wanted in ("hang", 1)]
    pool.close()
    assert [future.result(timeout=30)["error"] for future in futures] == ["interrupted"] * 2

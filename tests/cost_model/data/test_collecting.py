import json

import numpy as np
import pytest

pytest.importorskip("tvm", reason="candidates are TVM's modules")

from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule as ms

from tests.cost_model.programs_by_hand import matmul, pipeline
from tvm_memopt.cost_model.data.collecting import Orders, collect
from tvm_memopt.cost_model.data.collection import Store, open_folder
from tvm_memopt.cost_model.data.manifest import Manifest, read_shards
from tvm_memopt.cost_model.data.programs import Task
from tvm_memopt.cost_model.data.record_files import RECORDS, WORKLOADS
from tvm_memopt.cost_model.measure.builds import host_target
from tvm_memopt.cost_model.measure.devices import Device, local_device
from tvm_memopt.cost_model.measure.sampling import candidate_hash
from tvm_memopt.cost_model.measure.timing import Timing
from tvm_memopt.errors import MemoptError

TARGET = host_target(4)
MATMUL = Task("matmul", matmul(), 1, "test", 1)
ORDERS = Orders(per_program=4, programs_at_once=1)


@derived_object
class Builder(ms.builder.PyBuilder):
    """Fails every ``step``-th build; the artefact is a number."""

    def __init__(self, step):
        super().__init__()
        self.step, self.count = step, 0

    def build(self, build_inputs):
        results = []
        for _ in build_inputs:
            self.count += 1
            fails = self.count % self.step == 0
            results.append(
                ms.builder.BuilderResult(*(None, "no\nregister left") if fails else ("/nowhere/at/all", None))
            )
        return results


@derived_object
class Future(ms.runner.PyRunnerFuture):
    def done(self):
        return True

    def result(self):
        return ms.runner.RunnerResult([2e-3, 1e-3, 4e-3], None)


@derived_object
class Runner(ms.runner.PyRunner):
    def run(self, runner_inputs):
        return [Future() for _ in runner_inputs]


def pretended(step=10**6):
    return Device(Builder(step), Runner())


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """Four candidates of one small program, really built and timed."""
    folder = tmp_path_factory.mktemp("collected")
    open_folder(folder, Manifest(str(TARGET), "test"))
    timing = Timing(repeats=3, min_repeat_seconds=1e-4)
    with local_device(1, 60, timing) as device:
        tally = collect(folder, [MATMUL], device, TARGET, ORDERS)
    return folder, tally


def lines(folder):
    return (folder / "matmul" / RECORDS).read_text().splitlines()


def copied(collected, tmp_path):
    folder, _ = collected
    for path in folder.rglob("*"):
        target = tmp_path / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            target.write_bytes(path.read_bytes())
    return tmp_path


def test_each_measured_candidate_is_a_record_that_tvm_reads(collected):
    folder, tally = collected
    assert (tally.measured, tally.known, tally.failed, tally.programs) == (4, 0, 0, 1)
    program = folder / "matmul"
    records = ms.database.JSONDatabase(str(program / WORKLOADS), str(program / RECORDS)).get_all_tuning_records()
    assert len(records) == len(lines(folder)) == 4
    assert all(len(record.run_secs) == 3 and 0 < float(min(record.run_secs)) < 1 for record in records)


def test_the_first_candidate_is_the_program_itself_and_is_never_evolved(collected, tmp_path):
    folder, _ = collected
    traces = [json.loads(line)[1][0][0] for line in lines(folder)]
    assert traces[0] == []
    assert all(traces[1:])
    (shard,) = read_shards(folder)
    assert int(shard.hashes[0]) == candidate_hash(MATMUL.mod)
    Store(folder / "matmul", MATMUL).write_best(tmp_path, 16)
    best = ms.database.JSONDatabase(str(tmp_path / WORKLOADS), str(tmp_path / RECORDS)).get_all_tuning_records()
    assert sorted(len(record.trace.insts) > 0 for record in best) == [True] * 3


def test_the_shard_holds_the_same_candidates_each_once(collected):
    folder, _ = collected
    (shard,) = read_shards(folder)
    assert len(shard.graphs) == len(set(shard.hashes.tolist())) == 4
    recorded = sorted(json.loads(line)[1][1] for line in lines(folder))
    np.testing.assert_allclose(sorted(shard.seconds.tolist()), recorded)
    assert (shard.program["origin"], shard.program["stages"]) == ("test", 1)


def test_a_finished_folder_is_left_alone_and_a_larger_order_continues_it(collected, tmp_path):
    folder = copied(collected, tmp_path)
    before = lines(folder)
    again = collect(folder, [MATMUL], pretended(), TARGET, ORDERS)
    assert (again.measured, again.known, lines(folder)) == (0, 4, before)
    more = collect(folder, [MATMUL], pretended(), TARGET, Orders(per_program=7, programs_at_once=1))
    assert (more.measured, more.known) == (3, 4)
    assert lines(folder)[:4] == before
    (shard,) = read_shards(folder)
    assert len(shard.graphs) == len(set(shard.hashes.tolist())) == 7


def test_a_torn_last_line_costs_that_candidate_and_one_warning(collected, tmp_path):
    folder = copied(collected, tmp_path)
    path = folder / "matmul" / RECORDS
    path.write_bytes(path.read_bytes()[:-40])
    tally = collect(folder, [MATMUL], pretended(), TARGET, ORDERS)
    assert (tally.known, tally.measured) == (3, 1)
    (warning,) = tally.warnings
    assert "the last line was torn" in warning
    (shard,) = read_shards(folder)
    assert len(shard.graphs) == len(set(shard.hashes.tolist())) == 4


def test_a_lost_shard_is_derived_again_from_the_records(collected, tmp_path):
    folder = copied(collected, tmp_path)
    (before,) = read_shards(folder)
    (folder / "matmul" / "graphs.npz").unlink()
    collect(folder, [MATMUL], pretended(), TARGET, ORDERS)
    (after,) = read_shards(folder)
    assert sorted(after.hashes.tolist()) == sorted(before.hashes.tolist())
    np.testing.assert_array_equal(np.sort(after.median), np.sort(before.median))


def test_failures_are_counted_with_the_first_cause_and_not_tried_again(tmp_path):
    tally = collect(tmp_path, [MATMUL], pretended(step=2), TARGET, Orders(per_program=6, programs_at_once=1))
    assert (tally.measured, dict(tally.failures)) == (3, {"failed": 3})
    assert tally.first_cause == "no register left"
    again = collect(tmp_path, [MATMUL], pretended(), TARGET, Orders(per_program=6, programs_at_once=1))
    assert (again.measured, again.known) == (0, 3)
    assert len((tmp_path / "matmul" / "failures.jsonl").read_text().splitlines()) == 3


def test_nothing_measured_is_an_error_with_the_first_cause(tmp_path):
    with pytest.raises(MemoptError, match="none of 4 candidates was measured; first failure: no register left"):
        collect(tmp_path, [MATMUL], pretended(step=1), TARGET, ORDERS)


def test_a_program_that_another_has_been_collected_as_is_skipped(tmp_path):
    twin = Task("twin", matmul(), 1, "test", 1)
    other = Task("other", pipeline(), 1, "test", 2)
    tally = collect(tmp_path, [MATMUL, twin, other], pretended(), TARGET, Orders(per_program=2, programs_at_once=1))
    assert tally.programs == 2
    assert not (tmp_path / "twin").exists()


def test_ctrl_c_keeps_all_that_was_measured(tmp_path):
    def watch(tally, _name):
        if tally.measured == 2:
            raise KeyboardInterrupt

    tally = collect(tmp_path, [MATMUL], pretended(), TARGET, ORDERS, watch)
    assert tally.interrupted
    assert len(lines(tmp_path)) == 2
    (shard,) = read_shards(tmp_path_with_manifest(tmp_path))
    assert len(shard.graphs) == 2


def tmp_path_with_manifest(folder):
    open_folder(folder, Manifest(str(TARGET), "test"))
    return folder


def test_a_folder_of_another_target_is_refused(collected):
    folder, _ = collected
    with pytest.raises(MemoptError, match=r"was collected with target .* name another folder"):
        open_folder(folder, Manifest(str(host_target(7)), "test"))

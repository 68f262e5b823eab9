"""The plan inside TVM's pipelines: by object, by name, stage by stage, and nothing behind it undoes it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import tvm
from tvm import relax
from tvm.relax.backend.cpu_generic import pipeline as cpu
from tvm.script import ir as I
from tvm.script import relax as R

import tvm_memopt as mo
from tests.passes.relax import networks
from tests.passes.relax.running import HOST, MODES, optimised, random_arrays
from tvm_memopt import testing
from tvm_memopt.graph import find_violations, graph_from_json, plan_from_json
from tvm_memopt.passes import pipeline as stages
from tvm_memopt.passes.build import build_unmodified
from tvm_memopt.passes.relax import documents
from tvm_memopt.passes.relax.lowering import passes_after_plan, passes_before_plan
from tvm_memopt.passes.relax.planning import PlanOptions
from tvm_memopt.runtime import measure_memory, outputs_equal, run_module

INPUTS = random_arrays([(1, 4, 10, 10)])


@pytest.fixture(scope="module")
def module():
    return networks.small_network()


@pytest.fixture(scope="module")
def expected(module):
    return run_module(build_unmodified(module, HOST), INPUTS)


def pipelines():
    return {
        "default": relax.get_pipeline("default"),
        "fusing": relax.get_default_pipeline(HOST),
        "memopt": mo.pipeline(time_limit=1),
    }


@pytest.mark.parametrize("name", ["default", "fusing", "memopt"])
def test_no_pipeline_undoes_the_plan(name, module, expected):
    planned, plan = optimised(module)
    built = tvm.compile(planned, HOST, relax_pipeline=pipelines()[name])
    assert outputs_equal(run_module(built, INPUTS), expected)
    measured = measure_memory(built, INPUTS)
    assert measured.storage_nbytes == measured.arena_nbytes == plan.arena_nbytes
    assert measured.workspace_requested_nbytes == 0


def test_a_planned_module_compiles_with_no_word_about_a_pipeline(module, expected):
    planned, _ = mo.optimize(module, "llvm", time_limit=1)
    assert outputs_equal(run_module(tvm.compile(planned, "llvm"), INPUTS), expected)


@pytest.mark.parametrize("name", ["default", "fusing", "memopt"])
def test_no_pipeline_reuses_storage_across_branches(name):
    import numpy as np

    @I.ir_module
    class Branches:
        @R.function
        def main(x: R.Tensor((64, 64), "float32"), c: R.Tensor((), "bool")) -> R.Tensor((64, 64), "float32"):
            y = R.add(x, x)
            if c:
                a = R.nn.relu(y)
                z = R.add(a, x)
            else:
                b = R.exp(y)
                d = R.add(b, R.const(1.0, "float32"))
                z = R.multiply(d, d)
            return R.add(z, y)

    planned, _ = optimised(Branches)
    built = tvm.compile(planned, HOST, relax_pipeline=pipelines()[name])
    (x,) = random_arrays([(64, 64)])
    for condition in (True, False):
        y = x + x
        (found,) = run_module(built, [x, np.array(condition)])
        wanted = (np.maximum(y, 0) + x if condition else (np.exp(y) + 1) ** 2) + y
        np.testing.assert_allclose(found, wanted, rtol=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_the_pipeline_object_plans_while_tvm_builds(mode, module, expected):
    seen = []
    built = relax.build(module, HOST, relax_pipeline=mo.pipeline(time_limit=1, on_planned=seen.append), exec_mode=mode)
    assert outputs_equal(run_module(built, INPUTS), expected)
    (planned,) = seen
    plan = planned.functions["main"].plan
    assert measure_memory(built, INPUTS).arena_nbytes == plan.arena_nbytes


def test_the_pipeline_is_known_by_name_after_import():
    code = (
        "import tvm\n"
        "from tvm import relax\n"
        "import tvm_memopt\n"
        "from tests.passes.relax import networks\n"
        "built = tvm.compile(networks.long_chain(2), 'llvm', relax_pipeline='memopt')\n"
        "print(type(built).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "VMExecutable"), done.stderr


def test_registering_twice_does_no_harm():
    mo.register_pipeline()
    mo.register_pipeline()
    assert relax.get_pipeline("memopt") is not None


def test_the_pipeline_by_name_takes_the_name_of_a_source_of_schedules(tmp_path):
    assert relax.get_pipeline("memopt", schedules="none") is not None
    with pytest.raises(mo.MemoptError, match="holds no measured schedules: expected predicted, none"):
        relax.get_pipeline("memopt", schedules=str(tmp_path))


def test_a_planned_module_is_not_planned_again(module):
    planned, plan = optimised(module)
    seen = []
    relax.build(planned, HOST, relax_pipeline=mo.pipeline(on_planned=seen.append))
    assert seen[0].functions == {}
    assert seen[0].skipped == {"main": "it is planned already"}
    assert testing.arena_nbytes(planned) == {"main": plan.arena_nbytes}


def run_stages(module, *passes):
    with HOST:
        before = tvm.transform.Sequential(passes_before_plan(HOST))(module)
        return before, tvm.transform.Sequential(list(passes))(before)


def finish(module):
    with HOST:
        final = tvm.transform.Sequential(passes_after_plan(HOST))(module)
    return relax.build(final, HOST, relax_pipeline=None)


def test_the_extracting_stage_writes_the_graph_and_changes_no_code(module):
    before, after = run_stages(module, stages.extract_graphs())
    graph = graph_from_json(str(after["main"].attrs[documents.GRAPH_ATTR]))
    assert graph == mo.extract(module)
    bare = after["main"].without_attr(documents.GRAPH_ATTR)
    tvm.ir.assert_structural_equal(bare, before["main"])


def test_the_planning_stage_keeps_the_order_and_uses_one_arena(module, expected):
    _, after = run_stages(module, stages.plan_arena(PlanOptions(time_limit=1)))
    function = after["main"]
    graph = graph_from_json(str(function.attrs[documents.GRAPH_ATTR]))
    plan = plan_from_json(str(function.attrs[documents.PLAN_ATTR]))
    assert plan.schedule == tuple(range(len(graph.ops)))
    assert not find_violations(graph, plan)
    assert testing.arena_nbytes(after) == {"main": plan.arena_nbytes}
    assert outputs_equal(run_module(finish(after), INPUTS), expected)


def wide_then_narrow():
    """Three large values in the given order, two at once in the best one."""

    @I.ir_module
    class Wide:
        @R.function
        def main(x: R.Tensor((8, 8), "float32")) -> R.Tensor((1, 8), "float32"):
            a = R.exp(R.concat([x] * 8, axis=0))
            b = R.sin(R.concat([x] * 8, axis=0))
            c = R.cos(R.concat([x] * 8, axis=0))
            d = R.sum(a, axis=0, keepdims=True)
            e = R.sum(b, axis=0, keepdims=True)
            f = R.sum(c, axis=0, keepdims=True)
            return R.add(d, R.add(e, f))

    return Wide


def test_the_reordering_stage_lowers_the_peak_and_leaves_storage_to_tvm():
    module = wide_then_narrow()
    inputs = random_arrays([(8, 8)])
    wanted = run_module(build_unmodified(module, HOST), inputs)
    _, reordered = run_stages(module, stages.reorder_calls(PlanOptions(time_limit=1)))
    assert "alloc_storage" not in reordered.script()
    assert outputs_equal(run_module(finish(reordered), inputs), wanted)
    with HOST:
        stock = relax.build(tvm.transform.Sequential(cpu.finalize_passes(HOST))(reordered), HOST, relax_pipeline=None)
    assert outputs_equal(run_module(stock, inputs), wanted)


def test_reordering_and_planning_in_two_stages_meet_the_whole_job():
    module = wide_then_narrow()
    options = PlanOptions(time_limit=1)
    _, staged = run_stages(module, stages.reorder_calls(options), stages.plan_arena(options))
    _, given = run_stages(module, stages.plan_arena(options))
    _, searched = run_stages(module, stages.plan_arena(options, search_order=True))
    arenas = [testing.arena_nbytes(m)["main"] for m in (staged, given, searched)]
    assert arenas[0] == arenas[2] < arenas[1]
    inputs = random_arrays([(8, 8)])
    wanted = run_module(build_unmodified(module, HOST), inputs)
    for found in (staged, searched):
        assert outputs_equal(run_module(finish(found), inputs), wanted)


def test_stages_ask_for_a_target(module):
    with pytest.raises(mo.MemoptError, match="no target is in scope"):
        stages.extract_graphs()(module)


def test_another_kind_of_device_is_refused_in_one_line(module):
    with pytest.raises(mo.MemoptError, match="expected a CPU target") as raised:
        mo.optimize(module, tvm.target.Target("cuda"))
    assert "\n" not in str(raised.value)

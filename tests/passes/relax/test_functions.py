"""Several functions in one module, also calling each other."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from tvm import relax
from tvm.script import ir as I
from tvm.script import relax as R

from tests.passes.relax import networks
from tests.passes.relax.running import HOST, MODES, assert_planned_right, extracted, optimised, outputs, random_arrays
from tvm_memopt import testing
from tvm_memopt.passes.relax.apply import ARENA_PARAMETER
from tvm_memopt.passes.relax.planning import PLANNED_ATTR
from tvm_memopt.runtime import run_module

X = random_arrays([(64, 64)])[0]


@I.ir_module
class Calling:
    @R.function
    def block(x: R.Tensor((64, 64), "float32")) -> R.Tensor((64, 64), "float32"):
        a = R.nn.relu(x)
        b = R.matmul(a, x)
        return R.matmul(b, a)

    @R.function
    def main(x: R.Tensor((64, 64), "float32")) -> R.Tensor((64, 64), "float32"):
        cls = Calling
        y = R.add(x, x)
        z = cls.block(y)
        w = cls.block(z)
        return R.add(R.matmul(w, y), y)


def test_a_function_that_calls_another_gives_equal_outputs():
    planned, _ = assert_planned_right(Calling, [X])
    assert set(testing.arena_nbytes(planned)) == {"main", "block"}


def test_calls_of_functions_keep_their_order_and_are_not_repeated():
    found = extracted(Calling)
    calls = [i for i, o in enumerate(found.operations) if o.kind == "other"]
    assert len(calls) == 2
    assert calls[0] in found.graph.predecessors[calls[1]]
    assert not any(found.graph.ops[i].recomputable for i in calls)


@pytest.mark.parametrize("mode", MODES)
def test_only_functions_that_no_other_calls_take_the_arena_of_the_caller(mode):
    planned, plan = optimised(Calling, caller_arena=True)
    assert planned["main"].params[-1].name == ARENA_PARAMETER
    assert len(planned["block"].params) == 1
    arena = np.zeros(plan.arena_nbytes, "uint8")
    stock = relax.build(Calling, HOST, exec_mode=mode)
    found = outputs(relax.build(planned, HOST, exec_mode=mode), [X, arena])
    assert found[0].tobytes() == outputs(stock, [X])[0].tobytes()


def test_every_function_of_a_module_is_planned():
    module = networks.together([networks.long_chain(2), networks.branches_and_joins()])
    planned, _ = _optimise_all(module)
    for name, inputs in (("network0", [(32, 32)]), ("network1", [(16, 24), (24, 8)])):
        arrays = random_arrays(inputs)
        found = run_module(relax.build(planned, HOST), arrays, function=name)
        expected = run_module(relax.build(module, HOST, relax_pipeline=_fusing()), arrays, function=name)
        assert [a.tobytes() for a in found] == [a.tobytes() for a in expected]
    assert all(f.attrs[PLANNED_ATTR] == 1 for _, f in planned.functions_items() if isinstance(f, relax.Function))


def _fusing():
    return relax.get_default_pipeline(HOST)


def _optimise_all(module: tvm.IRModule):
    from tvm_memopt.passes.compile import lower, plan_lowered
    from tvm_memopt.passes.relax.planning import PlanOptions

    lowered, target = lower(module, HOST)
    with target:
        planned = plan_lowered(lowered, target, PlanOptions(time_limit=1))
    return planned.mod, planned


def test_functions_that_share_a_kernel_share_its_code():
    module = networks.together([networks.long_chain(2), networks.long_chain(3)])
    planned, found = _optimise_all(module)
    called = {name: {o.callee for o in f.extraction.operations} for name, f in found.functions.items()}
    assert called["network0"] == called["network1"]
    kernels = [v for v, f in planned.functions_items() if not isinstance(f, relax.Function)]
    assert len(kernels) <= 2 * len(called["network0"])


def test_a_function_that_is_planned_already_keeps_its_kernels_beside_a_planned_one():
    @I.ir_module
    class Mixed:
        @R.function
        def main(x: R.Tensor((1, 4, 12, 12), "float32"), w: R.Tensor((4, 4, 3, 3), "float32")):
            y = R.nn.conv2d(x, w, padding=1)
            return R.nn.conv2d(y, w, padding=1)

        @R.function
        def before(x: R.Tensor((1, 4, 12, 12), "float32"), w: R.Tensor((4, 4, 3, 3), "float32")):
            R.func_attr({"memopt.planned": 1})
            return R.nn.conv2d(x, w, padding=1)

    planned, found = _optimise_all(Mixed)
    assert "planned already" in found.skipped["before"]
    names = {v.name_hint for v, _ in planned.functions_items()}
    assert {"conv2d", "conv2d_planned"} <= names
    image, weight = random_arrays([(1, 4, 12, 12), (4, 4, 3, 3)])
    built, stock = relax.build(planned, HOST), relax.build(Mixed, HOST, relax_pipeline=_fusing())
    for name in ("main", "before"):
        first = run_module(built, [image, weight], function=name)
        second = run_module(stock, [image, weight], function=name)
        assert [a.tobytes() for a in first] == [a.tobytes() for a in second]


def test_a_module_without_a_main_needs_a_name():
    import tvm_memopt as mo

    module = networks.together([networks.long_chain(1), networks.long_chain(2)])
    with pytest.raises(mo.MemoptError, match="no function 'main'"):
        mo.extract(module)
    assert mo.extract(module, function="network1").name == "network1"

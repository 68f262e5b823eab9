# ruff: noqa: SIM108 (TVMScript has no conditional expression)
"""The branches of an If in the arena: a plan for each, the larger one's bytes as the workspace of the If."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
import tvm_ffi
from tvm import relax
from tvm.script import ir as I
from tvm.script import relax as R

from tests.passes.relax.running import HOST, MODES, extracted, optimised, outputs, random_arrays
from tvm_memopt import testing
from tvm_memopt.graph import find_violations
from tvm_memopt.passes.build import build_planned, build_unmodified
from tvm_memopt.passes.relax.apply import ARENA_PARAMETER
from tvm_memopt.passes.relax.planning import PlanOptions
from tvm_memopt.runtime import measure_memory, poison_run, run_module

SIDE = 128
NBYTES = 4 * SIDE * SIDE
X = random_arrays([(SIDE, SIDE)])[0] / np.float32(8)


@I.ir_module
class Large:
    @R.function
    def main(x: R.Tensor((128, 128), "float32"), c: R.Tensor((), "bool")) -> R.Tensor((128, 128), "float32"):
        y = R.nn.softmax(x)
        if c:
            a = R.matmul(y, x)
            b = R.nn.softmax(a)
            z = R.matmul(b, b)
        else:
            d = R.matmul(x, y)
            e = R.matmul(d, y)
            f = R.nn.softmax(e)
            z = R.matmul(f, d)
        return R.nn.softmax(z)


def softmax(value):
    e = np.exp(value - value.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def large(x, c):
    y = softmax(x)
    if c:
        b = softmax(y @ x)
        return softmax(b @ b)
    d = x @ y
    return softmax(softmax(d @ y) @ d)


@I.ir_module
class Pairs:
    """A tuple of two results, each made in both branches, and one that the else branch takes from outside."""

    @R.function
    def main(x: R.Tensor((128, 128), "float32"), c: R.Tensor((), "bool")) -> R.Tensor((128, 128), "float32"):
        y = R.nn.softmax(x)
        u = R.matmul(x, x)
        if c:
            a = R.matmul(y, x)
            p = (R.nn.softmax(a), R.matmul(a, a), R.nn.softmax(y))
        else:
            p = (R.matmul(x, y), R.nn.softmax(u), y)
        v = R.matmul(p[0], p[1])
        return R.add(R.matmul(v, p[2]), u)


def pairs(x, c):
    y, u = softmax(x), x @ x
    a = y @ x
    p = (softmax(a), a @ a, softmax(y)) if c else (x @ y, softmax(u), y)
    return (p[0] @ p[1]) @ p[2] + u


@I.ir_module
class Nested:
    """An If in a branch of an If, whose result is that of the branch."""

    @R.function
    def main(x: R.Tensor((128, 128), "float32"), c: R.Tensor((), "bool"), d: R.Tensor((), "bool")) -> R.Tensor(
        (128, 128), "float32"
    ):
        y = R.nn.softmax(x)
        if c:
            a = R.matmul(y, x)
            if d:
                r = R.matmul(R.nn.softmax(a), a)
            else:
                r = R.matmul(R.matmul(a, y), y)
            z = r
        else:
            z = R.matmul(R.nn.softmax(y), x)
        return R.nn.softmax(R.matmul(z, y))


def nested(x, c, d=False):
    y = softmax(x)
    a = y @ x
    inner = softmax(a) @ a if d else (a @ y) @ y
    z = inner if c else softmax(y) @ x
    return softmax(z @ y)


@I.ir_module
class Viewed:
    """Results that are views, of two shapes."""

    @R.function
    def main(x: R.Tensor((128, 128), "float32"), c: R.Tensor((), "bool")) -> R.Tensor((128, 128), "float32"):
        y = R.nn.softmax(x)
        flat = R.reshape(y, (64, 256))
        if c:
            z = R.reshape(R.nn.softmax(flat), (256, 64))
        else:
            z = R.reshape(R.nn.softmax(R.reshape(R.matmul(y, x), (32, 512))), (256, 64))
        w = R.matmul(R.reshape(z, (128, 128)), y)
        return R.nn.softmax(R.add(w, R.reshape(flat, (128, 128))))


def viewed(x, c):
    y = softmax(x)
    z = softmax(y.reshape(64, 256)) if c else softmax((y @ x).reshape(32, 512))
    return softmax(z.reshape(128, 128) @ y + y)


CASES = [(Large, large), (Pairs, pairs), (Nested, nested), (Viewed, viewed)]
IDS = [reference.__name__ for _, reference in CASES]


def arguments(module, condition):
    return [X, *[np.array(condition)] * (len(module["main"].params) - 1)]


@pytest.mark.parametrize("fold", ["auto", "always", "never"])
@pytest.mark.parametrize(("module", "reference"), CASES, ids=IDS)
def test_both_branches_are_right_in_both_modes(module, reference, fold):
    """Against numpy: TVM's own storage planner crashes on the else branch."""
    planned, _ = optimised(module, fold_data_movement=fold)
    testing.assert_valid(planned)
    for mode in MODES:
        built = relax.build(planned, HOST, exec_mode=mode)
        for condition in (True, False, True):
            (found,) = outputs(built, arguments(module, condition))
            expected = reference(X.astype("float64"), condition)
            if module is Nested:
                expected = nested(X.astype("float64"), condition, condition)
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_bits_are_those_of_the_unmodified_build():
    build, stock = build_planned(Large, HOST, PlanOptions(time_limit=1)), build_unmodified(Large, HOST)
    inputs = arguments(Large, True)  # what TVM's own build survives
    assert [a.tobytes() for a in outputs(build.executable, inputs)] == [a.tobytes() for a in outputs(stock, inputs)]


@pytest.mark.parametrize("condition", [True, False])
@pytest.mark.parametrize(("module", "reference"), CASES, ids=IDS)
def test_no_live_byte_is_overwritten_and_the_arena_is_the_plans(module, reference, condition):
    build = build_planned(module, HOST, PlanOptions(time_limit=1))
    found = build.planned.functions["main"]
    assert not find_violations(found.graph, found.plan)
    assert poison_run(build.executable, arguments(module, condition)).clean
    measured = measure_memory(build.executable, arguments(module, condition))
    assert measured.storages[0].nbytes == found.plan.arena_nbytes
    if not found.beside_arena:
        assert measured.storage_nbytes == found.plan.arena_nbytes


def test_each_branch_has_a_valid_plan_and_the_larger_is_the_workspace():
    found = build_planned(Large, HOST, PlanOptions(time_limit=1)).planned.functions["main"]
    ((op_id, branches),) = found.extraction.branches.items()
    for branch in branches:
        assert not find_violations(branch.graph, branch.plan)
    assert found.graph.ops[op_id].workspace == max(branch.plan.arena_nbytes for branch in branches) > 0
    assert len(list(found.with_branches())) == 3


def test_an_if_costs_what_its_larger_branch_needs():
    """Three tensors of 65,536 bytes are live at once in the else branch, whatever the order."""
    found = build_planned(Large, HOST, PlanOptions(time_limit=1)).planned.functions["main"]
    assert found.plan.arena_nbytes == 3 * NBYTES
    assert not found.beside_arena
    stock = measure_memory(build_unmodified(Large, HOST), arguments(Large, True))
    total = found.plan.arena_nbytes + NBYTES
    assert total < stock.storage_nbytes + stock.returned_nbytes


def test_a_result_takes_the_place_of_what_no_branch_reads_any_more():
    found = extracted(Large)
    (op_id,) = found.branches
    (pair,) = found.graph.ops[op_id].inplace
    assert found.graph.tensors[pair[0]].name == "softmax"
    assert pair[1] == found.tensor_of[found.operations[op_id].result]


def test_a_result_does_not_take_the_place_of_what_a_branch_still_reads():
    @I.ir_module
    class ReadLate:
        @R.function
        def main(x: R.Tensor((128, 128), "float32"), c: R.Tensor((), "bool")) -> R.Tensor((128, 128), "float32"):
            y = R.nn.softmax(x)
            if c:
                z = R.matmul(R.nn.softmax(x), x)
            else:
                z = R.matmul(x, y)
            return R.nn.softmax(z)

    found = extracted(ReadLate)
    (op_id,) = found.branches
    assert found.graph.ops[op_id].inplace == ()
    assert extracted(Large, inplace=False).graph.ops[1].inplace == ()


def test_a_result_that_one_branch_takes_from_outside_keeps_storage_of_its_own():
    build = build_planned(Pairs, HOST, PlanOptions(time_limit=1))
    found = build.planned.functions["main"]
    assert any("not both branches make" in note for note in found.notes)
    assert found.beside_arena
    assert len(found.extraction.fields) == 2
    sizes = [storage.nbytes for storage in measure_memory(build.executable, arguments(Pairs, True)).storages]
    assert sizes.count(NBYTES) == 2  # of the branch, and what is returned


def test_what_an_inner_if_makes_lies_where_the_outer_one_has_its_result():
    build = build_planned(Nested, HOST, PlanOptions(time_limit=1))
    found = build.planned.functions["main"]
    assert len(list(found.with_branches())) == 5
    assert not found.beside_arena


@pytest.mark.parametrize("mode", MODES)
def test_the_caller_may_own_the_arena(mode):
    planned, plan = optimised(Large, caller_arena=True)
    assert planned["main"].params[-1].name == ARENA_PARAMETER
    built = relax.build(planned, HOST, exec_mode=mode)
    for condition in (True, False):
        arena = np.zeros(plan.arena_nbytes, "uint8")
        (found,) = outputs(built, [*arguments(Large, condition), arena])
        np.testing.assert_allclose(found, large(X.astype("float64"), condition), rtol=1e-4, atol=1e-5)


def test_a_plan_that_is_given_is_followed():
    _, plan = optimised(Large)
    planned, again = optimised(Large, plan=plan)
    assert again.arena_nbytes == plan.arena_nbytes
    (found,) = outputs(relax.build(planned, HOST), arguments(Large, False))
    np.testing.assert_allclose(found, large(X.astype("float64"), False), rtol=1e-4, atol=1e-5)


def test_a_budget_counts_the_branches():
    import tvm_memopt as mo

    _, plan = optimised(Large, budget=3 * NBYTES)
    assert plan.arena_nbytes == 3 * NBYTES
    with pytest.raises(mo.BudgetError):
        optimised(Large, budget=2 * NBYTES)


@I.ir_module
class Convolved:
    @R.function
    def main(x: R.Tensor((1, 4, 12, 12), "float32"), c: R.Tensor((), "bool")) -> R.Tensor((1, 4, 12, 12), "float32"):
        w = R.ones((4, 4, 3, 3), "float32")
        y = R.nn.conv2d(x, w, padding=1)
        if c:
            z = R.nn.conv2d(y, w, padding=1)
        else:
            z = R.nn.conv2d(R.nn.relu(y), w, padding=1)
        return R.nn.conv2d(z, w, padding=1)


@pytest.mark.parametrize("budget", [None, "100%"])
def test_scratch_of_kernels_in_branches_is_in_the_arena(budget):
    from tests.passes.relax.branches.test_branches import reference_convolutions

    (image,) = random_arrays([(1, 4, 12, 12)])
    build = build_planned(Convolved, HOST, PlanOptions(budget=budget, time_limit=1))
    expected = reference_convolutions(image)
    for condition in (True, False):
        inputs = [image, np.array(condition)]
        np.testing.assert_allclose(outputs(build.executable, inputs)[0], expected[condition], rtol=1e-4, atol=1e-3)
        assert measure_memory(build.executable, inputs).workspace_requested_nbytes == 0


@pytest.fixture
def packed_functions():
    @tvm.register_global_func("memopt_test.halved", override=True)
    def halved(value):
        return tvm.runtime.tensor(value.numpy() * np.float32(0.5))

    yield
    tvm_ffi.registry.remove_global_func("memopt_test.halved")


@I.ir_module
class Unknown:
    """A branch that hands a tensor from outside to a call that nothing is known of."""

    @R.function
    def main(x: R.Tensor((128, 128), "float32"), c: R.Tensor((), "bool")) -> R.Tensor((128, 128), "float32"):
        y = R.nn.softmax(x)
        if c:
            h = R.call_pure_packed("memopt_test.halved", y, ty_args=R.Tensor((128, 128), "float32"))
            z = R.matmul(h, y)
        else:
            z = R.matmul(R.nn.softmax(y), y)
        return R.nn.softmax(R.matmul(z, y))


def test_a_branch_that_cannot_be_planned_leaves_the_if_as_it_is(packed_functions):
    found = extracted(Unknown)
    assert not found.branches
    assert any("branches of an If" in note for note in found.notes)
    planned, _ = optimised(Unknown)
    y = softmax(X.astype("float64"))
    for condition, z in ((True, y * 0.5 @ y), (False, softmax(y) @ y)):
        (computed,) = outputs(relax.build(planned, HOST), [X, np.array(condition)])
        np.testing.assert_allclose(computed, softmax(z @ y), rtol=1e-4, atol=1e-5)


@I.ir_module
class Symbolic:
    """Branches over a symbolic dimension."""

    @R.function
    def main(x: R.Tensor(("n", 64), "float32"), c: R.Tensor((), "bool")):
        R.func_attr({"tir_var_upper_bound": {"n": 32}})
        y = R.nn.softmax(x)
        w = R.matmul(R.permute_dims(y), y)
        if c:
            a = R.matmul(y, w)
            z = R.matmul(R.nn.softmax(a), w)
        else:
            z = R.matmul(R.matmul(R.nn.softmax(y), w), w)
        return R.nn.softmax(z)


def symbolic(x, c):
    y = softmax(x)
    w = y.T @ y
    return softmax(softmax(y @ w) @ w if c else softmax(y) @ w @ w)


@pytest.mark.parametrize("bound", [32, None])
def test_sizes_that_are_known_at_run_time(bound):
    function = Symbolic["main"] if bound else Symbolic["main"].without_attr("tir_var_upper_bound")
    module = tvm.IRModule({**dict(Symbolic.functions_items()), Symbolic.get_global_var("main"): function})
    planned, plan = optimised(module)
    testing.assert_valid(planned)
    for mode in MODES:
        built = relax.build(planned, HOST, exec_mode=mode)
        for rows in (1, 9, 32):
            (x,) = random_arrays([(rows, 64)])
            for condition in (True, False):
                (found,) = run_module(built, [x, np.array(condition)])
                np.testing.assert_allclose(found, symbolic(x.astype("float64"), condition), rtol=1e-4, atol=1e-5)
    assert bool(bound) == (plan.arena_nbytes > 2 * 64 * 64 * 4)

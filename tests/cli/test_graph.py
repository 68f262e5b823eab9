import json

import pytest

from tests.cases.make_cases import write_case
from tests.cli.running import assert_refused, nothing_left_behind
from tvm_memopt.graph import given_order, peak_live, read_graph, working_set_bound


def test_a_model_becomes_a_graph_file(command, made, tmp_path):
    result = command("graph", made / "model.onnx", "-o", tmp_path / "graph.json")
    assert (result.status, result.err) == (0, "")
    graph = read_graph(tmp_path / "graph.json")
    peak = peak_live(graph, given_order(graph))
    assert f"{len(graph.ops)} ops, {len(graph.tensors)} tensors, given order's peak {peak:,} bytes" in result.out
    assert len(result.out.splitlines()) == 1


def test_json_has_the_figures_of_the_graph(command, made, tmp_path):
    figures = json.loads(command("graph", made / "model.onnx", "-o", tmp_path / "graph.json", "--json").out)
    graph = read_graph(tmp_path / "graph.json")
    bound, op = working_set_bound(graph)
    assert figures == {
        "name": graph.name,
        "ops": len(graph.ops),
        "tensors": len(graph.tensors),
        "given_order_peak_nbytes": peak_live(graph, given_order(graph)),
        "working_set_nbytes": bound,
        "working_set_op": graph.ops[op].name,
    }


def test_a_shape_fixes_an_open_batch(command, made, tmp_path):
    for batch in (1, 3):
        shape = f"image={batch},3,16,16"
        assert command("graph", made / "open.onnx", "-o", tmp_path / f"{batch}.json", "--shape", shape).status == 0
    one, three = (read_graph(tmp_path / f"{batch}.json") for batch in (1, 3))
    assert peak_live(three, given_order(three)) > 2 * peak_live(one, given_order(one))


def test_no_inplace_leaves_no_pair_in_the_graph(command, made, tmp_path):
    command("graph", made / "model.onnx", "-o", tmp_path / "with.json")
    command("graph", made / "model.onnx", "-o", tmp_path / "without.json", "--no-inplace")
    assert any(op.inplace for op in read_graph(tmp_path / "with.json").ops)
    assert not any(op.inplace for op in read_graph(tmp_path / "without.json").ops)


def test_a_function_that_is_not_there_is_named_with_those_that_are(command, made, tmp_path):
    result = command("graph", made / "model.onnx", "-o", tmp_path / "graph.json", "--function", "infer")
    assert_refused(result, "model.onnx", "'infer'", "main")


def test_a_graph_is_no_model(command, made, tmp_path):
    assert_refused(command("graph", made / "graph.json", "-o", tmp_path / "x.json"), "is a graph, expected a model")


def test_times_of_kernels_by_the_network_of_the_package(command, made, tmp_path):
    pytest.importorskip("torch", reason="a network predicts")
    model, target = made / "model.onnx", '{"kind": "llvm", "mcpu": "x86-64-v3"}'
    costs = []
    for number, extra in enumerate(((), ("--predict-costs", "package"))):
        out = tmp_path / f"{number}.json"
        result = command("graph", model, "-o", out, "--target", target, *extra)
        assert result.status == 0, result.err
        costs.append([op.cost for op in read_graph(out).ops])
    assert costs[0] != costs[1]
    assert all(1e-9 < cost < 1 for cost in costs[1] if cost)


def test_times_that_cannot_be_predicted_are_refused(command, made, tmp_path):
    pytest.importorskip("torch", reason="a network predicts")
    model, out = made / "model.onnx", tmp_path / "graph.json"
    (tmp_path / "damaged.npz").write_bytes(b"PK")
    with nothing_left_behind(tmp_path):
        predicted = ("graph", model, "-o", out, "--predict-costs")
        assert_refused(command(*predicted, tmp_path / "damaged.npz"), "damaged.npz", "damaged")
        assert_refused(command(*predicted, tmp_path / "none.npz"), "none.npz", "cannot be read")
        assert_refused(command(*predicted, "package", "--measure-costs"), "two sources")
        assert_refused(command(*predicted, "package"), "predicts for target", "give --target", "x86-64-v3")
        built = ("optimize", model, "-o", tmp_path / "model.so", "--predict-costs", "package")
        assert_refused(command(*built), "predicts for target", "give --target", "x86-64-v3")


def test_a_fixed_dimension_can_be_overridden(command, tmp_path):
    path = write_case("fixed_batch", tmp_path)
    shape = "x=1,3,16,16"
    refused = command("graph", path, "-o", tmp_path / "g.json", "--shape", shape)
    assert refused.status == 2
    assert f"--override-shape {shape}" in refused.err
    assert command("graph", path, "-o", tmp_path / "g.json", "--override-shape", shape).status == 0

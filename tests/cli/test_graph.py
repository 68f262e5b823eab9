import json

from tests.cli.running import assert_refused
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

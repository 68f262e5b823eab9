"""Recurrent, repeating and quantised ONNX operators: the rewritten model against ONNX Runtime."""

from pathlib import Path

import numpy as np
import pytest

from tests.frontends.running import run_main
from tvm_memopt.errors import FrontendError
from tvm_memopt.frontends import SymbolicDim, import_model, random_inputs

onnx = pytest.importorskip("onnx", reason="ONNX models need pip install 'tvm-memopt[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="the reference numbers come from ONNX Runtime")
cases = pytest.importorskip("tests.cases.make_cases")
onnx_models = pytest.importorskip("tests.frontends.onnx.models")
T, node, value = onnx.TensorProto, onnx.helper.make_node, onnx_models.value


def assert_same(path: Path, shapes: dict[str, tuple[int, ...]] | None = None) -> None:
    """Floats within 1e-4, quantised numbers within one step."""
    mod = import_model(path, shapes)
    inputs = random_inputs(mod, 0)
    options = onnxruntime.SessionOptions()
    # Products of uint8 and int8 saturate at 16 bits on processors without VNNI unless exact ones are asked for.
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    expected = session.run(None, dict(zip([one.name for one in session.get_inputs()], inputs, strict=True)))
    found = run_main(mod, inputs)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        step = 1 if one.dtype in (np.uint8, np.int8) else 1e-4
        assert np.abs(one.astype("float64") - other).max() <= step


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype("float32") / 2


@pytest.mark.parametrize("name", ["qlinear", "lstm", "gru", "loop", "scan"])
def test_the_case_gives_the_reference_numbers(tmp_path: Path, name):
    assert_same(cases.write_case(name, tmp_path))


GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def recurrent(path: Path, op_type: str, *, extra: tuple[str, ...] = (), **attributes: object) -> Path:
    """Five steps of two sequences; ``extra`` names the optional inputs that are given."""
    count = 2 if attributes.get("direction") == "bidirectional" else 1
    hidden, rows = 3, GATES[op_type] * 3
    weights = {"W": floats(count, rows, 4), "R": floats(count, rows, hidden)}
    given = {
        "B": floats(count, 2 * rows),
        "lengths": np.array([3, 5], "int32"),
        "h": floats(count, 2, hidden),
        "c": floats(count, 2, hidden),
        "P": floats(count, 3 * hidden),
    }
    weights |= {name: given[name] for name in extra}
    inputs = ["x", "W", "R", *(name if name in extra else "" for name in given)]
    outputs = ["Y", "Yh", "Yc"][: 3 if op_type == "LSTM" else 2]
    nodes = [node(op_type, inputs[: 8 if op_type == "LSTM" else 6], outputs, "cell", hidden_size=hidden, **attributes)]
    return onnx_models.save(
        path, nodes, [value("x", [5, 2, 4])], [value(name, None) for name in outputs], weights=weights
    )


DIRECTIONS = ["forward", "reverse", "bidirectional"]
EXTRAS = {"bare": (), "states": ("B", "h", "c"), "lengths": ("B", "lengths")}
# A Latin square: each pair of operator, direction and inputs occurs once.
RECURRENT = [
    (op_type, DIRECTIONS[(i + j) % 3], extra) for i, op_type in enumerate(GATES) for j, extra in enumerate(EXTRAS)
]


@pytest.mark.parametrize(("op_type", "direction", "given"), RECURRENT)
def test_a_recurrent_operator_gives_the_reference_numbers(tmp_path: Path, op_type, direction, given):
    extra = tuple(name for name in EXTRAS[given] if name != "c" or op_type == "LSTM")
    assert_same(recurrent(tmp_path / "net.onnx", op_type, extra=extra, direction=direction))


@pytest.mark.parametrize(
    ("op_type", "extra", "attributes"),
    [
        ("GRU", ("B", "h"), {"linear_before_reset": 1}),
        ("GRU", (), {"linear_before_reset": 1}),
        ("LSTM", ("B", "P"), {}),
        ("LSTM", ("B",), {"input_forget": 1}),
        ("LSTM", ("B",), {"clip": 0.3}),
        ("LSTM", ("B",), {"activations": ["HardSigmoid", "Softsign", "Relu"], "activation_alpha": [0.3]}),
        ("RNN", ("B",), {"activations": ["Affine"], "activation_alpha": [0.5], "activation_beta": [0.1]}),
        ("RNN", ("B",), {"activations": ["ScaledTanh"], "activation_alpha": [0.5], "activation_beta": [0.7]}),
    ],
)
def test_an_attribute_of_a_recurrent_operator_counts(tmp_path: Path, op_type, extra, attributes):
    assert_same(recurrent(tmp_path / "net.onnx", op_type, extra=extra, **attributes))


@pytest.mark.parametrize("op_type", ["LSTM", "GRU", "RNN"])
def test_layout_1_is_layout_0_with_the_batch_first(tmp_path: Path, op_type):
    path = recurrent(tmp_path / "net.onnx", op_type, extra=("B",))
    model = onnx.load(path)
    x = floats(5, 2, 4)
    y, last, *_ = run_main(import_model(path), [x])
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("layout", 1))
    model.graph.input[0].CopyFrom(value("x", [2, 5, 4]))
    onnx.save(model, path)
    y_by_batch, last_by_batch, *_ = run_main(import_model(path), [x.transpose(1, 0, 2).copy()])
    assert np.allclose(y_by_batch, y.transpose(2, 0, 1, 3), atol=1e-6)
    assert np.allclose(last_by_batch, last.transpose(1, 0, 2), atol=1e-6)


def refusal(path: Path) -> str:
    with pytest.raises(FrontendError) as caught:
        import_model(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_loop_whose_trips_are_computed_is_refused(tmp_path: Path):
    model = onnx.load(cases.write_case("loop", tmp_path))
    model.graph.initializer.remove(model.graph.initializer[0])
    model.graph.input.append(value("trips", [], T.INT64))
    onnx.save(model, tmp_path / "loop.onnx")
    message = refusal(tmp_path / "loop.onnx")
    assert "Loop (the unnamed node that makes 'y') cannot be rewritten: its number of trips 'trips'" in message


Q = {"s": np.float32(0.02), "s2": np.float32(0.05), "z": np.uint8(120), "z2": np.uint8(130)}


def quantised(path: Path, one: onnx.NodeProto, outputs=T.UINT8, *, weights=None, shape=(1, 4, 6, 6)) -> Path:
    one.output[0] = "y"
    result = value("y", None, outputs)
    domains = ("com.microsoft",) if one.domain else ()
    inputs = [value("x", list(shape), T.UINT8)]
    return onnx_models.save(path, [one], inputs, [result], weights=Q | (weights or {}), domains=domains)


X, TO = ["x", "s", "z"], ["s2", "z2"]


@pytest.mark.parametrize(
    ("op_type", "inputs", "attributes"),
    [
        ("QLinearAdd", [*X, *X, *TO], {}),
        ("QLinearMul", [*X, *X, *TO], {}),
        ("QLinearSigmoid", [*X, *TO], {}),
        ("QLinearLeakyRelu", [*X, *TO], {"alpha": 0.2}),
        ("QLinearGlobalAveragePool", [*X, *TO], {}),
        ("QLinearAveragePool", [*X, *TO], {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("QLinearSoftmax", [*X, *TO], {"axis": 1, "opset": 13}),
        ("QLinearConcat", [*TO, *X, *X], {"axis": 1}),
    ],
)
def test_a_quantised_operator_is_within_one_step(tmp_path: Path, op_type, inputs, attributes):
    one = node(op_type, inputs, ["y"], domain="com.microsoft", **attributes)
    assert_same(quantised(tmp_path / "net.onnx", one))


def integers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(-100, 100, shape).astype("int8")


@pytest.mark.parametrize("opset", [10, 17])
def test_a_convolution_by_channel_with_bias_is_within_one_step(tmp_path: Path, opset):
    weights = {
        "w": integers(8, 4, 3, 3),
        "ws": np.linspace(0.001, 0.01, 8, dtype="float32"),
        "wz": np.zeros(8, "int8"),
        "b": np.arange(-400, 400, 100, dtype="int32"),
    }
    one = node("QLinearConv", [*X, "w", "ws", "wz", *TO, "b"], ["y"], pads=[1] * 4)
    path = quantised(tmp_path / "net.onnx", one, weights=weights)
    model = onnx.load(path)
    model.opset_import[0].version = opset
    onnx.save(model, path)
    assert_same(path)


@pytest.mark.parametrize("columns", [1, 5])
def test_a_quantised_matrix_product_is_within_one_step(tmp_path: Path, columns):
    scale = np.linspace(0.001, 0.01, columns, dtype="float32")
    weights = {"w": integers(6, 5), "ws": scale, "wz": np.zeros(columns, "int8")}
    one = node("QLinearMatMul", [*X, "w", "ws", "wz", *TO], ["y"])
    assert_same(quantised(tmp_path / "net.onnx", one, weights=weights))


@pytest.mark.parametrize("to", [TO, []], ids=["quantised", "float"])
def test_a_quantised_gemm_is_within_one_step(tmp_path: Path, to):
    weights = {
        "w": integers(5, 6), "ws": np.float32(0.01), "wz": np.int8(0), "b": np.arange(5, dtype="int32") * 100
    }  # fmt: skip
    one = node("QGemm", [*X, "w", "ws", "wz", "b", *to], ["y"], domain="com.microsoft", transB=1)
    kind = T.UINT8 if to else T.FLOAT
    assert_same(quantised(tmp_path / "net.onnx", one, kind, weights=weights, shape=(3, 6)))


def test_a_quantised_choice_is_within_one_step(tmp_path: Path):
    one = node("QLinearWhere", ["flags", *X, *X, *TO], ["y"], domain="com.microsoft")
    assert_same(quantised(tmp_path / "net.onnx", one, weights={"flags": np.arange(6) % 2 == 0}))


def test_an_integer_convolution_has_zero_points_by_channel(tmp_path: Path):
    weights = {"w": integers(8, 4, 3, 3).astype("uint8"), "wz": np.arange(8, dtype="uint8")}
    one = node("ConvInteger", ["x", "w", "z", "wz"], ["y"])
    found = run_main(import_model(quantised(tmp_path / "net.onnx", one, T.INT32, weights=weights)), [PICTURE])
    offset = weights["w"].astype("float32") - weights["wz"].reshape(8, 1, 1, 1)
    windows = np.lib.stride_tricks.sliding_window_view(PICTURE.astype("float32") - Q["z"], (3, 3), axis=(2, 3))
    assert np.array_equal(found[0], np.einsum("nchwij,ocij->nohw", windows, offset))


PICTURE = np.random.default_rng(0).integers(0, 255, (1, 4, 6, 6)).astype("uint8")


@pytest.mark.parametrize("op_type", ["ConvInteger", "MatMulInteger"])
def test_an_integer_product_is_exact(tmp_path: Path, op_type):
    shape, weight = ((1, 4, 6, 6), (8, 4, 3, 3)) if op_type == "ConvInteger" else ((3, 6), (6, 5))
    weights = {"w": integers(*weight).astype("uint8"), "wz": np.uint8(7)}
    one = node(op_type, ["x", "w", "z", "wz"], ["y"])
    assert_same(quantised(tmp_path / "net.onnx", one, T.INT32, weights=weights, shape=shape))


def test_an_operator_that_onnx_defines_by_others_is_imported(tmp_path: Path):
    assert_same(onnx_models.one_node(tmp_path / "net.onnx", "Celu", alpha=0.7))


def test_a_dynamic_quantisation_is_within_one_step(tmp_path: Path):
    one = node("DynamicQuantizeLinear", ["x"], ["y", "scale", "zero"])
    outputs = [value("y", None, T.UINT8), value("scale", None), value("zero", None, T.UINT8)]
    assert_same(onnx_models.save(tmp_path / "net.onnx", [one], [value("x", [3, 4])], outputs))


def test_a_dynamic_length_is_fixed_by_a_shape(tmp_path: Path):
    path = recurrent(tmp_path / "net.onnx", "LSTM")
    model = onnx.load(path)
    model.graph.input[0].CopyFrom(value("x", ["steps", 2, 4]))
    onnx.save(model, path)
    assert_same(path, {"x": (4, 2, 4)})
    with pytest.raises(FrontendError, match="fix the sequence length with --shape"):
        import_model(path, {"x": (SymbolicDim("n", 8), 2, 4)})


def doubling_loop(path: Path, condition: list[onnx.NodeProto], trips: str, nested: bool = False) -> Path:
    """v = v + v while the body's ``go2``, which ``condition`` makes, holds."""
    nodes = [node("Add", ["v", "v"], ["v2"]), *condition]
    if nested:
        inner_inputs = [value("j", [], T.INT64), value("g", [], T.BOOL), value("u", [4])]
        inner_nodes = [node("Identity", ["g"], ["g2"]), node("Add", ["u", "v"], ["u2"])]
        inner = onnx.helper.make_graph(inner_nodes, "inner", inner_inputs, [value("g2", [], T.BOOL), value("u2", [4])])
        nodes[0] = node("Loop", ["two", "", "v"], ["v2"], body=inner)
    inputs = [value("i", [], T.INT64), value("go", [], T.BOOL), value("v", [4])]
    body = onnx.helper.make_graph(nodes, "body", inputs, [value("go2", [], T.BOOL), value("v2", [4])])
    weights = {"two": np.int64(2), "true": np.bool_(True)}
    counted = [node("Shape", ["x"], ["shape"]), node("Squeeze", ["shape"], ["count"])]
    outer = [*counted, node("Loop", [trips, "true", "x"], ["y"], body=body)]
    return onnx_models.save(path, outer, [value("x", [4])], [value("y", [4])], weights=weights)


KEEP = [node("Identity", ["go"], ["go2"])]


@pytest.mark.parametrize("nested", [False, True])
def test_the_trips_of_a_loop_may_come_from_a_shape(tmp_path: Path, nested):
    assert_same(doubling_loop(tmp_path / "net.onnx", KEEP, "count", nested))


def test_a_loop_may_end_by_its_counter(tmp_path: Path):
    assert_same(doubling_loop(tmp_path / "net.onnx", [node("Less", ["i", "two"], ["go2"])], ""))


def test_a_loop_that_numbers_of_the_run_end_is_refused(tmp_path: Path):
    limit = [node("ReduceSum", ["v"], ["sum"], keepdims=0), node("Cast", ["sum"], ["go2"], to=T.BOOL)]
    message = refusal(doubling_loop(tmp_path / "net.onnx", limit, "two"))
    assert "cannot be rewritten: its loop condition is computed at run time" in message


def test_a_scan_may_go_backward_along_another_axis(tmp_path: Path):
    nodes = [node("Add", ["s", "part"], ["sum"]), node("Identity", ["sum"], ["row"])]
    inputs = [value("s", [4]), value("part", [4])]
    body = onnx.helper.make_graph(nodes, "body", inputs, [value("sum", [4]), value("row", [4])])
    how = {"scan_input_axes": [1], "scan_input_directions": [1], "scan_output_axes": [1], "scan_output_directions": [1]}
    one = node("Scan", ["s0", "x"], ["last", "y"], body=body, num_scan_inputs=1, **how)
    inputs, outputs = [value("s0", [4]), value("x", [4, 6])], [value("last", [4]), value("y", [4, 6])]
    assert_same(onnx_models.save(tmp_path / "net.onnx", [one], inputs, outputs))


def test_a_recurrent_operator_of_an_old_operator_set_is_imported(tmp_path: Path):
    path = recurrent(tmp_path / "net.onnx", "LSTM", extra=("B", "h", "c"), direction="bidirectional")
    model = onnx.load(path)
    model.opset_import[0].version = 9
    onnx.save(model, path)
    assert_same(path)

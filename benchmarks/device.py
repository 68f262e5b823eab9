"""Planned models on the emulated AArch64 device, and tuning and collection there: ``python -m benchmarks.device``.

Starts the device (``tvm-memopt emulator start``), compiles each model for it, and holds outputs and allocated bytes
there against TVM's default build on the same device. ``--tune`` adds tuning with both cost models, and ``--collect``
collection on both servers; each says how many candidates it measured. Times are the emulator's and are left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import zoo
from benchmarks.tables import save, table
from benchmarks.zoo.model import ZooError

MODELS = ("tiny_kws", "mtcnn_rnet", "pp_ocr_cls", "mp_face_det", "magika")
TUNED = "mtcnn_rnet"
TARGET = '{"kind": "llvm", "mtriple": "aarch64-linux-gnu", "num-cores": 1}'
KEY = "benchmark"
HEADER = ("model", "arena", "as planned", "allocated", "TVM's", "ratio", "outputs equal")


def main(arguments: Sequence[str] | None = None) -> int:
    """All that was asked for; the device is stopped at the end."""
    options = _parse(arguments)
    document: dict[str, Any] = {"rows": {}, "searches": {}}
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        with_device(True, lambda where: _run_models(options, document, where, here))
        if options.tune:
            with_device(True, lambda where: _tune(options.trials, document, where, here))
        if options.collect:
            for light in (True, False):
                with_device(light, lambda where, light=light: _collect(light, document, where, here))
    print(render(document))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"models of the benchmark set; default: {' '.join(MODELS)}")
    parser.add_argument("--time-limit", type=float, default=10.0, help="seconds to search each plan (default 10)")
    parser.add_argument("--tune", action="store_true", help="tune a model with each cost model")
    parser.add_argument("--trials", type=int, default=32, help="candidates of each tuning (default 32)")
    parser.add_argument("--collect", action="store_true", help="collect random programs on each server")
    return parser.parse_args(arguments)


def with_device(light: bool, work: Any) -> None:
    """Call ``work(options)`` with the options that name the device, and stop it afterwards."""
    start = ["emulator", "start", "--key", KEY, *(["--light"] if light else [])]
    said = command(*start)
    if said.returncode:
        raise SystemExit(said.stderr.strip())
    tracker = said.stdout.split("--tracker ")[1].split()[0]
    try:
        work(["--tracker", tracker, "--key", KEY])
    finally:
        command("emulator", "stop")


def command(*arguments: Any) -> subprocess.CompletedProcess[str]:
    """``tvm-memopt`` with these arguments."""
    line = [sys.executable, "-m", "tvm_memopt", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def _run_models(options: argparse.Namespace, document: dict[str, Any], where: list[str], folder: Path) -> None:
    for name in options.names or MODELS:
        document["rows"][name] = row = _run_model(name, options.time_limit, where, folder)
        print(f"{name}: {json.dumps(row)}", file=sys.stderr, flush=True)
        save("device", document)


def _run_model(name: str, time_limit: float, where: list[str], folder: Path) -> dict[str, Any]:
    try:
        model = zoo.MODELS[name].source()
    except ZooError as error:
        return {"error": str(error)}
    module = folder / f"{name}.so"
    built = command("optimize", model, "-o", module, "--target", TARGET, "--time-limit", time_limit, *_shapes(name))
    if built.returncode:
        return {"error": built.stderr.strip()}
    found = command("run", module, "--against", model, *where, "--repeats", 1, "--json")
    if not found.stdout:
        return {"error": found.stderr.strip()}
    return dict(json.loads(found.stdout))


def _shapes(name: str) -> list[str]:
    """The shapes of the benchmark set, for the inputs whose shape the file leaves open."""
    if zoo.MODELS[name].source().suffix != ".onnx":
        return []
    import onnx

    found: list[str] = []
    shapes = {item.name: item.shape for item in zoo.MODELS[name].inputs}
    for item in onnx.load(zoo.MODELS[name].source(), load_external_data=False).graph.input:
        sizes = item.type.tensor_type.shape.dim
        if item.name in shapes and not all(size.HasField("dim_value") for size in sizes):
            found += ["--shape", f"{item.name}={','.join(map(str, shapes[item.name]))}"]
    return found


def _tune(trials: int, document: dict[str, Any], where: list[str], folder: Path) -> None:
    model = zoo.MODELS[TUNED].source()
    for cost_model in ("gcn", "xgb"):
        options = ["--work-dir", folder / cost_model, "--trials", trials, "--cost-model", cost_model]
        options += ["--target", TARGET, "--schedule-seconds", 0, "--measure", "--json", *where, *_shapes(TUNED)]
        run = command("tune", model, "-o", folder / f"{cost_model}.so", *options)
        document["searches"][f"tune {TUNED}, {cost_model}"] = _last(run)
        save("device", document)


def _collect(light: bool, document: dict[str, Any], where: list[str], folder: Path) -> None:
    out = folder / ("light" if light else "python")
    run = command("collect", "--out", out, "--programs", 3, "--per-program", 8, "--target", TARGET, "--json", *where)
    document["searches"][f"collect, {'light' if light else 'Python'} server"] = _last(run)
    save("device", document)


def _last(run: subprocess.CompletedProcess[str]) -> Any:
    found = json.loads(run.stdout) if run.stdout else run.stderr.strip()
    print(json.dumps(found), file=sys.stderr, flush=True)
    return found


def render(document: dict[str, Any]) -> str:
    """The table of models, and what the searches found."""
    rows = document["rows"]
    lines = [table(HEADER, [_cells(name, row) for name, row in rows.items() if "error" not in row])]
    lines += [f"{name}: {row['error']}" for name, row in rows.items() if "error" in row]
    lines += [f"{name}: {json.dumps(found)}" for name, found in document["searches"].items()]
    return "\n".join(lines)


def _cells(name: str, row: dict[str, Any]) -> tuple[Any, ...]:
    ours, theirs = row["planned"]["total_nbytes"], row["unmodified"]["total_nbytes"]
    arena, equal = row["planned_arena_nbytes"], row["outputs_equal"]
    return (name, arena, row["arena_as_planned"], ours, theirs, ours / theirs, equal)


if __name__ == "__main__":
    sys.exit(main())

"""Predicted times of whole models: ``python -m benchmarks.cost_model.network_time --checkpoint gcn.npz``.

Each model of the set is built by TVM with the default schedules of legalisation and run with one thread. The CPU
seconds of each kernel call within the model are stored under ``--data``. Then, in cross-validation over models, level 1
is fine-tuned, level 2 is trained on top of it, and both are evaluated on the models left out.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tables import RESULTS, save, table

PARTS = 5
FEWEST = 4


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    folder = Path(options.data)
    if options.one:
        _measure(options.one, folder)
        return 0
    from benchmarks import zoo

    folder.mkdir(parents=True, exist_ok=True)
    for name in options.names or list(zoo.MODELS):
        if not (folder / f"{name}.npz").exists():
            print(name, _in_process(name, options), file=sys.stderr, flush=True)
    document = _judge(options.checkpoint, folder)
    save("network_time", document)
    print(document["text"])
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="models; default: the whole set")
    parser.add_argument("--checkpoint", required=True, help="level-1 network")
    parser.add_argument("--data", default=str(RESULTS / "network_time"), help="folder of measured models")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds to build and time one model")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _in_process(name: str, options: argparse.Namespace) -> str:
    from benchmarks import zoo

    missing = zoo.available(name)
    if missing is not None:
        return missing
    command = [
        sys.executable,
        "-m",
        "benchmarks.cost_model.network_time",
        "--one",
        name,
        "--checkpoint",
        options.checkpoint,
    ]
    command += ["--data", options.data]
    environment = {**os.environ, "TVM_NUM_THREADS": "1"}
    try:
        run = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=options.timeout
        )
    except subprocess.TimeoutExpired:
        return f"not within {options.timeout:g} s"
    lines = [line for line in run.stderr.splitlines() if line.strip()]
    return "measured" if run.returncode == 0 else (lines[-1] if lines else f"status {run.returncode}")


def _measure(name: str, folder: Path) -> None:
    import tvm

    from benchmarks import zoo
    from tvm_memopt.cost_model.data.model_calls import measure_calls, sample_of, write_sample
    from tvm_memopt.cost_model.measure.builds import host_target
    from tvm_memopt.passes.build import build_unmodified
    from tvm_memopt.passes.relax.lowering import passes_before_plan

    target = host_target(1)
    mod = zoo.MODELS[name].load()
    with target:
        lowered = tvm.transform.Sequential(passes_before_plan(target))(mod)
    sample = sample_of(lowered, target, name)
    inputs = [np.asarray(a) for a in zoo.load_inputs(name, 0)]
    seconds = measure_calls(build_unmodified(mod, target), inputs, set(sample.calls.names))
    write_sample(folder / f"{name}.npz", sample_of(lowered, target, name, seconds))


def _judge(checkpoint: str, folder: Path) -> dict[str, Any]:
    from tvm_memopt.cost_model.data.model_calls import read_sample
    from tvm_memopt.cost_model.network.adapt import adapted
    from tvm_memopt.cost_model.network.checkpoint import load_checkpoint
    from tvm_memopt.cost_model.network.model_time import kernel_seconds, train_calls
    from tvm_memopt.cost_model.network.predictor import from_checkpoint

    level1 = from_checkpoint(load_checkpoint(Path(checkpoint)), checkpoint)
    samples = [read_sample(path) for path in sorted(folder.glob("*.npz"))]
    if len(samples) < FEWEST:
        raise SystemExit(f"{len(samples)} models were measured: at least {FEWEST} are needed to leave some out in turn")
    new: list[np.ndarray] = []  # calls of kernels that no model has that was learned from
    rows, errors = [], {"level 1": [], "fine-tuned": [], "level 2": []}
    order = np.random.default_rng(0).permutation(len(samples))
    for part in range(min(PARTS, len(samples))):
        tested = set(order[part::PARTS].tolist())
        rest = [sample for i, sample in enumerate(samples) if i not in tested]
        learned, valid = [s for i, s in enumerate(rest) if i % 8], rest[::8]
        tuned = adapted(level1, learned, valid)
        trained = train_calls(tuned, learned, valid)
        known = set().union(*map(_fingerprints, rest))
        for sample in (samples[i] for i in sorted(tested)):
            truth = sample.calls.seconds
            found_by = {
                "level 1": kernel_seconds(level1, sample), "fine-tuned": kernel_seconds(tuned, sample),
                "level 2": trained.predict(sample),
            }  # fmt: skip
            for level, found in found_by.items():
                errors[level].append((abs(found.sum() / truth.sum() - 1), np.abs(found / truth - 1)))
            own = _fingerprints(sample)
            new.append(np.array([own[kernel] not in known for kernel in sample.calls.kernels]))
            rows.append(
                (sample.name, len(truth), truth.sum() * 1e3, *(float(errors[lvl][-1][0]) for lvl in found_by),
                 *(float(np.median(errors[lvl][-1][1])) for lvl in found_by))
            )  # fmt: skip
    header = (
        "model", "calls", "ms", "whole, level 1", "fine-tuned", "level 2", "kernels, level 1", "fine-tuned", "level 2"
    )  # fmt: skip
    lines = [table(header, sorted(rows))]
    for level, found in errors.items():
        whole = float(np.median([entry[0] for entry in found]))
        kernels = float(np.median(np.concatenate([entry[1] for entry in found])))
        unseen = np.concatenate([entry[1][mask] for entry, mask in zip(found, new, strict=True)])
        lines.append(
            f"{level}: whole models {whole:.1%} in the median, kernels {kernels:.1%}; {len(unseen)} calls of kernels "
            f"that no model has that was learned from {np.median(unseen):.1%}"
        )
    return {"rows": sorted(rows), "text": "\n".join(lines)}


def _fingerprints(sample: Any) -> list[bytes]:
    """What tells the graph of each of a model's kernels from others."""
    found = []
    for kernel in range(len(sample.calls.names)):
        nodes = sample.graphs.select(np.array([kernel])).nodes
        found.append(hashlib.sha256(b"".join(nodes[name].tobytes() for name in sorted(nodes))).digest())
    return found


if __name__ == "__main__":
    sys.exit(main())

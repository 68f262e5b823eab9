"""Ablation of the learned order: ``python -m benchmarks.topoformer.ablation``.

Each variant gets the same short training: the same graphs, seeds and number of steps, first imitation and then policy
gradient. Without transforms, the network attends along plain edges in both directions. Without encoding, it does not
see the Laplacian eigenvectors. Without imitation, all steps are policy gradient. Without state, scores are only
priorities, as in the papers. Gaps are relative to the peaks of the native search with 4 ms per op, on held-out layered
graphs. An interrupted run is continued by the same command.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.tables import RESULTS, save, table
from tvm_memopt.graph import layered_graph
from tvm_memopt.solvers.order.learned import read_checkpoint
from tvm_memopt.solvers.order.learned.config import ModelConfig
from tvm_memopt.solvers.order.learned.examples import make_examples
from tvm_memopt.solvers.order.learned.training import TrainingOptions
from tvm_memopt.solvers.order.learned.training_run import TrainingGraphs, run_training
from tvm_memopt.solvers.order.learned.validation import validation_gaps


def main(arguments: Sequence[str] | None = None) -> int:
    """Train each variant, judge it, print the table."""
    import torch

    torch.set_num_threads(1)
    options = _parse(arguments)
    folder = Path(options.folder)
    graphs = TrainingGraphs(layered=options.graphs, validation=options.validation, effort=options.effort)
    held_out = {
        n: make_examples(
            (layered_graph(n, seed=seed) for seed in range(options.held_out)), folder / "targets", effort=options.effort
        )
        for n in options.layered
    }
    rows: list[list[Any]] = []
    for name, (config, training) in _variants(options).items():
        run = run_training(folder / name.replace(" ", "_"), config, training, graphs, targets=folder / "targets")
        if run["interrupted"]:
            return 130
        checkpoint = read_checkpoint(run["checkpoint"])
        gaps = [g for examples in held_out.values() for g in validation_gaps(config, checkpoint.weights, examples)]
        rows.append([name, sum(array.size for array in checkpoint.weights.values()), *gaps, run["seconds"]])
        print(f"{name}: {gaps}", file=sys.stderr, flush=True)
        save(options.out, {"rows": rows, "steps": options.steps, "imitation_steps": options.imitation_steps})
    sizes = [part for n in held_out for part in (f"greedy {n} %", f"best of 16, {n} %")]
    print(table(["variant", "weights", *sizes, "training s"], rows))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=int, default=120, help="layered graphs to learn from (default 120)")
    parser.add_argument("--imitation-steps", type=int, default=150)
    parser.add_argument("--steps", type=int, default=350, help="of policy gradient")
    parser.add_argument("--layered", type=int, nargs="*", default=[500, 1000], metavar="N", help="held-out sizes")
    parser.add_argument("--held-out", type=int, default=10, help="held-out graphs of each size, seeds from 0")
    parser.add_argument("--validation", type=int, default=6, help="graphs by which the best step is chosen")
    parser.add_argument("--effort", type=float, default=0.5, help="scales the search for orders to imitate")
    parser.add_argument("--folder", default=str(RESULTS / "topoformer_ablation"))
    parser.add_argument("--out", default="topoformer_ablation", help="benchmarks/results/NAME.json")
    return parser.parse_args(arguments)


def _variants(options: argparse.Namespace) -> dict[str, tuple[ModelConfig, TrainingOptions]]:
    config = ModelConfig()
    training = TrainingOptions(imitation_steps=options.imitation_steps, steps=options.steps)
    return {
        "full": (config, training),
        "without transforms": (replace(config, transforms=False), training),
        "without encoding": (replace(config, encoding=False), training),
        "without imitation": (config, replace(training, imitation_steps=0, steps=training.all_steps)),
        "without state": (replace(config, state=False), training),
    }


if __name__ == "__main__":
    sys.exit(main())

"""Compare the graph network with its ablations and the baselines: ``python -m benchmarks.cost_model.run DATA...``.

All models are trained on the same programs of a collection and evaluated on the same held-out ones. It reports relative
errors of the time, calibrated and not, R² of log time and ranking, also by kind of program; a paired test over
programs; the noise floor of the data; a learning curve; and the prediction time compared with TVM's XGBModel. Results
are saved immediately, and ``--resume`` continues an interrupted run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cost_model.figures import data_set, paired, render
from benchmarks.tables import RESULTS, save

SIZES = (0.1, 0.25, 0.5)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    import torch

    from tvm_memopt.cost_model.data.samples import load_samples, split_programs

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    folders = [Path(folder) for folder in options.data]
    samples, _ = load_samples(folders)
    document = _previous(options, samples)
    document["data"] = data_set(samples, folders)
    for fold in range(options.folds):
        split = split_programs(samples.names, options.split_seed, fold=fold)
        _compare(samples, split, options, document, fold)
    if options.learning_curve:
        _learning_curve(samples, split_programs(samples.names, options.split_seed), options, document)
    if options.speed:
        from benchmarks.cost_model.speed import prediction_seconds

        document["speed"] = prediction_seconds(options.speed)
        _save(options, document)
    document["paired"] = paired(samples, document)
    _save(options, document)
    print(render(samples, document))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", help="folders of 'tvm-memopt collect'")
    parser.add_argument("--models", nargs="*", help="names of models; default: all")
    parser.add_argument("--folds", type=int, default=1, help="parts of the programs that are tested in turn, at most 5")
    parser.add_argument("--epochs", type=int, default=60, help="of all networks (default 60)")
    parser.add_argument("--patience", type=int, default=12, help="of the graph networks (default 12)")
    parser.add_argument("--width", type=int, default=64, help="of a statement in the graph networks (default 64)")
    parser.add_argument("--rounds", type=int, default=3, help="graph convolutions (default 3)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split-seed", type=int, default=0)
    parser.add_argument("--learning-curve", action="store_true", help="train on shares of the programs too")
    parser.add_argument("--speed", metavar="CHECKPOINT", help="time predictions with this network too")
    parser.add_argument("--resume", action="store_true", help="keep what is there for the same data")
    parser.add_argument("--name", default="cost_model", help="of the results file")
    return parser.parse_args(arguments)


def _compare(samples: Any, split: dict[str, np.ndarray], options: argparse.Namespace, document: Any, fold: int) -> None:
    from benchmarks.references.cost_models import BASELINES, NETWORKS, predict_by_baseline, predict_by_network
    from benchmarks.references.per_store import load_stores

    test = samples.of_programs(split["test"])
    stores: Any = None
    for kind in options.models or [*NETWORKS, *BASELINES]:
        key = f"{kind}/{fold}"
        if key in document["models"]:
            continue
        start, cpu = time.monotonic(), time.process_time()
        if kind in NETWORKS:
            prediction, trained = predict_by_network(kind, samples, split, _settings(options), _say)
            extra = {"epochs": trained.card["epochs"], "parameters": trained.card["parameters"]}
        else:
            stores = stores or load_stores([Path(folder) for folder in options.data], _say)
            prediction, extra = predict_by_baseline(kind, samples, stores, split, options.epochs, options.seed), {}
        document["models"][key] = {
            "test": [int(i) for i in test],
            "seconds": prediction.seconds[test].tolist(),
            "speed": prediction.speed[test].tolist(),
            "score": prediction.score[test].tolist(),
            "train_seconds": time.monotonic() - start,
            "train_cpu_seconds": time.process_time() - cpu,
            **extra,
        }
        _save(options, document)


def _learning_curve(samples: Any, split: dict[str, np.ndarray], options: argparse.Namespace, document: Any) -> None:
    """The full network on the first programs of the training part."""
    from benchmarks.references.cost_models import predict_by_network

    test = samples.of_programs(split["test"])
    for share in SIZES:
        key = f"{share:g}"
        if key in document["learning_curve"]:
            continue
        count = max(2, round(share * len(split["train"])))
        part = {**split, "train": split["train"][:count]}
        prediction, _ = predict_by_network("gcn", samples, part, _settings(options), _say)
        document["learning_curve"][key] = {
            "candidates": len(samples.of_programs(part["train"])),
            "metrics": prediction.metrics(samples, test, False).document(),
        }
        _save(options, document)
    if (whole := document["models"].get("gcn/0")) is not None:
        from tvm_memopt.cost_model.network.metrics import measure

        seconds, score = (np.array(whole[name]) for name in ("seconds", "score"))
        document["learning_curve"]["1"] = {
            "candidates": len(samples.of_programs(split["train"])),
            "metrics": measure(seconds, score, samples.seconds[test], samples.program[test]).document(),
        }


def _settings(options: argparse.Namespace) -> Any:
    from tvm_memopt.cost_model.network.gcn import Architecture
    from tvm_memopt.cost_model.network.training import Settings

    shape = Architecture(options.width, options.width // 2, options.rounds)
    return Settings(
        seed=options.seed, epochs=options.epochs, patience=options.patience, split_seed=options.split_seed,
        architecture=shape,
    )  # fmt: skip


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _previous(options: argparse.Namespace, samples: Any) -> dict[str, Any]:
    path = RESULTS / f"{options.name}.json"
    names = ("epochs", "patience", "width", "rounds", "seed", "split_seed")
    digest = hashlib.sha256(json.dumps(samples.names).encode() + samples.seconds.tobytes()).hexdigest()[:16]
    identity = {"candidates": len(samples), "data": digest, **{name: getattr(options, name) for name in names}}
    if options.resume and path.exists():
        document = json.loads(path.read_text())
        if document.get("identity") == identity:
            return dict(document)
    return {"identity": identity, "models": {}, "learning_curve": {}}


def _save(options: argparse.Namespace, document: dict[str, Any]) -> None:
    save(options.name, document)

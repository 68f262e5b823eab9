"""Compare searches guided by the graph network with searches guided by TVM's XGBModel: ``python -m benchmarks.tuning``.

Each cost model gets the same held-out programs, seeds and numbers of trials, one after the other on the same machine.
After each round, the best time is recorded with the measured candidates, wall-clock seconds and CPU seconds so far.
XGBModel is used from 16 samples on, instead of 100. The population is 8 per candidate of a round, as in TVM.
``--resume`` continues an interrupted run.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.tables import RESULTS, save
from benchmarks.tuning.figures import render

HELD_OUT_SEED = 1000
"""Of the random programs: collections are made with small seeds."""
RANDOM = (0, 1, 2, 3, 5, 6, 7)
"""Numbers of the random programs; 4 is a blur, of which TVM knows a single schedule."""


def tasks() -> dict[str, Any]:
    """Three operators of one to four stages and seven random programs that no collection has."""
    from benchmarks.cost_model.features import single_operators
    from tvm_memopt.cost_model.data.programs import Task, block_count, random_task

    found = {
        name: Task(name.replace(" ", "_"), mod, 1, "by hand", block_count(mod))
        for name, mod in single_operators().items()
    }
    return found | {f"random {i}": random_task(HELD_OUT_SEED, i) for i in RANDOM}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    settings = {"trials": options.trials, "per_round": options.per_round, "population": options.population}
    document: dict[str, Any] = {**settings, "runs": {}}
    for path in (RESULTS / f"{name}.json" for name in options.merge):
        if not path.exists():
            sys.exit(f"{path}: there is no such results file to merge")
        document["runs"] |= _kept(path, settings)
    if options.resume and (own := RESULTS / f"{options.name}.json").exists():
        document["runs"] |= _kept(own, settings)
    chosen = {name: task for name, task in tasks().items() if not options.tasks or name in options.tasks}
    for seed in range(options.seeds):
        for name, task in chosen.items():
            for model in options.models:
                key = f"{name}/{model}/{seed}"
                if key not in document["runs"]:
                    document["runs"][key] = _search(task, model, seed, options)
                    print(key, _last(document["runs"][key]), file=sys.stderr, flush=True)
                    save(options.name, document)
    document["runs"] = {key: run for key, run in document["runs"].items() if key.rsplit("/", 2)[0] in chosen}
    print(render(document, options.models))
    if options.plot:
        from benchmarks.tuning.plot import write_curves

        write_curves(document, *options.models[:2], options.plot)
    return 0


def _kept(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The searches of a results file of the same settings."""
    document = json.loads(path.read_text())
    return dict(document["runs"]) if settings.items() <= document.items() else {}


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["gcn", "xgb"], help="first: the one the others are held to")
    parser.add_argument("--tasks", nargs="*", help="names; default: all ten")
    parser.add_argument("--trials", type=int, default=128, help="candidates of each search (default 128)")
    parser.add_argument("--per-round", type=int, default=16, help="measured between two updates (default 16)")
    parser.add_argument("--population", type=int, default=128, help="of the evolutionary search (default 128)")
    parser.add_argument("--seeds", type=int, default=3, help="searches of each task and model (default 3)")
    parser.add_argument("--checkpoint", help="network to start from; default: the one of the package")
    parser.add_argument("--resume", action="store_true", help="keep the searches that are there")
    parser.add_argument(
        "--merge", nargs="+", default=[], metavar="NAME", help="results of runs beside this one, kept too"
    )
    parser.add_argument(
        "--plot", metavar="FILE", help="draw the best time so far of the first two models: .svg or .png"
    )
    parser.add_argument("--name", default="tuning", help="of the results file")
    return parser.parse_args(arguments)


def _search(task: Any, model: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    from tvm_memopt.cost_model.measure.builds import host_target
    from tvm_memopt.cost_model.measure.devices import local_device
    from tvm_memopt.cost_model.tuner.cost_models import make_cost_model
    from tvm_memopt.cost_model.tuner.tuning import TuneOptions, tune_tasks

    target = host_target(4)
    checkpoint = Path(options.checkpoint) if options.checkpoint and model == "gcn" else None
    guide, source = make_cost_model(model, str(target), seed, checkpoint)
    curve: list[tuple[int, float, float, float]] = []
    started, cpu = time.monotonic(), _cpu_seconds()

    def watch(_name: str, measured: int, seconds: float | None) -> None:
        best = min([entry[3] for entry in curve] + ([] if seconds is None else [seconds]), default=float("inf"))
        curve.append((measured, time.monotonic() - started, _cpu_seconds() - cpu, best))

    settings = TuneOptions(options.trials, seed, options.per_round, options.population)
    with tempfile.TemporaryDirectory() as folder, local_device(1, 30.0) as device:
        tuned = tune_tasks([task], target, device, guide, Path(folder), settings, watch)
    return {"curve": curve, "failed": tuned.failed, "source": source}


def _cpu_seconds() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _last(run: dict[str, Any]) -> str:
    measured, wall, _, best = run["curve"][-1]
    return f"{best * 1e6:.1f} us after {measured} candidates, {wall:.0f} s"

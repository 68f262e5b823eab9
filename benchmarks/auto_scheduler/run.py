"""Compare the graph network with TVM's XGBModel in its auto-scheduler: ``python -m benchmarks.auto_scheduler``.

Runs under the Relay-era TVM (0.16). Both models get the same cases, seeds, trials and search, one after the other, and
which is first changes with the seed. Each record that ran is checked against a build of the plain loops that LLVM did
not optimise, and only right ones count. The best of both are then measured again in turns, in one process. XGBModel is
used from the second round on, instead of from 100 samples. ``--resume`` continues an interrupted run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.auto_scheduler.figures import render
from benchmarks.tables import RESULTS, save

SETTINGS = ("trials", "per_round", "population", "threads")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    os.environ |= {"TVM_NUM_THREADS": str(options.threads), "TVM_BIND_THREADS": "0", "OMP_WAIT_POLICY": "passive"}
    from benchmarks.auto_scheduler.cases import CASES
    from benchmarks.auto_scheduler.search import MODELS

    document: dict[str, Any] = {name: getattr(options, name) for name in SETTINGS} | {"runs": {}, "pairs": []}
    path = RESULTS / f"{options.name}.json"
    if options.resume and path.exists():
        kept = json.loads(path.read_text())
        if all(kept[name] == document[name] for name in SETTINGS):
            document = kept
    for seed in range(options.seeds):
        for case in options.cases or CASES:
            for model in MODELS if seed % 2 == 0 else MODELS[::-1]:
                key = f"{case}/{model}/{seed}"
                if key not in document["runs"]:
                    document["runs"][key] = _search(case, model, seed, options)
                    print(key, _last(document["runs"][key]), file=sys.stderr, flush=True)
                    save(options.name, document)
            if not any((pair["case"], pair["seed"]) == (case, seed) for pair in document["pairs"]):
                document["pairs"].append(_pair(case, seed, document["runs"]))
                save(options.name, document)
    print(render(document))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", help="names; default: all six")
    parser.add_argument("--trials", type=int, default=64, help="candidates of each search (default 64)")
    parser.add_argument("--per-round", type=int, default=16, help="measured between two updates (default 16)")
    parser.add_argument("--population", type=int, default=128, help="of the evolutionary search (default 128)")
    parser.add_argument("--seeds", type=int, default=3, help="searches of each case and model (default 3)")
    parser.add_argument("--threads", type=int, default=1, help="of the kernels that are timed (default 1)")
    parser.add_argument("--resume", action="store_true", help="keep the searches that are there")
    parser.add_argument("--name", default="auto_scheduler", help="of the results file")
    return parser.parse_args(arguments)


def _search(case: str, model: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.auto_scheduler.cases import CASES
    from benchmarks.auto_scheduler.check import check
    from benchmarks.auto_scheduler.search import search

    run = search(CASES[case](), model, seed, options.trials, options.per_round, options.population)
    ran = [i for i, seconds in enumerate(run["seconds"]) if seconds is not None]
    run["checks"] = check(case, [run["records"][i] for i in ran])
    right = [i for i, result in zip(ran, run["checks"], strict=True) if result == "right"]
    if not right:
        sys.exit(f"{case}, {model}, seed {seed}: no record ran and was right")
    best = min(right, key=lambda i: float(run["seconds"][i]))
    return run | {"records": [], "best": run["records"][best], "best_seconds": run["seconds"][best]}


def _pair(case: str, seed: int, runs: dict[str, Any]) -> dict[str, Any]:
    from benchmarks.auto_scheduler.check import side_by_side

    gcn, xgb = side_by_side(case, [runs[f"{case}/{model}/{seed}"]["best"] for model in ("gcn", "xgb")])
    return {"case": case, "seed": seed, "gcn": gcn, "xgb": xgb}


def _last(run: dict[str, Any]) -> str:
    checks = run["checks"]
    return (
        f"{run['best_seconds'] * 1e6:.1f} us, {checks.count('right')} of {len(run['seconds'])} records ran and are "
        f"right, {run['wall']:.0f} s; predict {run['predict_seconds']:.1f} s, update {run['update_seconds']:.1f} s"
    )

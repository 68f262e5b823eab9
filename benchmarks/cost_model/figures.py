"""Tables of benchmarks.cost_model.run, from its saved predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tables import table

COLUMNS = ("mean_error", "median_error", "r2", "pairwise", "top1", "top5")
HEADER = ("mean err", "median err", "R2 log", "pairwise", "top-1", "top-5")
_DRAWS = 10_000
DEEP = 6
DEPTHS = ((3, 5), (6, 11), (12, 30))


def data_set(samples: Any, folders: Sequence[Path]) -> dict[str, Any]:
    """How much there is, and how far its times can be believed."""
    deep = int((np.array(samples.stages) >= DEEP).sum())
    found = {"candidates": len(samples), "programs": len(samples.names), "deep": deep, "floor": noise_floor(samples)}
    return found | {"machines": machines_apart(folders)}


def machines_apart(folders: Sequence[Path]) -> dict[str, float] | None:
    """What one machine's times say of another's, brought to its scale; None where nothing was measured on both."""
    from tvm_memopt.cost_model.data.time_scales import measured_again

    one, other, programs = measured_again(folders)
    if not len(one):
        return None
    errors = np.abs(other / one - 1)
    return {
        "candidates": len(one),
        "mean_error": float(errors.mean()),
        "median_error": float(np.median(errors)),
        "pairwise": _agreement(other, one, np.unique(programs, return_inverse=True)[1]),
    }


def noise_floor(samples: Any) -> dict[str, float]:
    """What a perfect model would still miss: the error and the pairwise accuracy of one repeat against the others."""
    known = np.isfinite(samples.repeats).sum(axis=1) > 1
    first, others = samples.repeats[known, 0], np.nanmedian(samples.repeats[known, 1:], axis=1)
    errors = np.abs(first / others - 1)
    return {
        "median_spread": float(np.median(samples.spread)),
        "mean_error": float(errors.mean()),
        "median_error": float(np.median(errors)),
        "pairwise": _agreement(first, others, samples.program[known]),
    }


def _agreement(one: np.ndarray, other: np.ndarray, program: np.ndarray) -> float:
    from tvm_memopt.cost_model.network.metrics import ranking

    found = [ranking(-one[program == p], other[program == p])[0] for p in np.unique(program)]
    return float(np.mean(found))


def paired(samples: Any, document: dict[str, Any]) -> dict[str, Any]:
    """The full network against each other model, program by program: share of programs that it does better on, and
    the p-value of a sign-flip test of the mean difference (10 000 draws, seeded)."""
    found: dict[str, Any] = {}
    ours = _by_program(samples, document, "gcn")
    for kind in sorted({key.rpartition("/")[0] for key in document["models"]} - {"gcn"}):
        theirs = _by_program(samples, document, kind)
        both = sorted(ours.keys() & theirs.keys())
        if not both:
            continue
        found[kind] = {"programs": len(both)}
        for column, sign in (("calibrated", -1), ("uncalibrated", -1), ("pairwise", 1)):
            gain = sign * np.array([ours[p][column] - theirs[p][column] for p in both])
            found[kind][column] = {"better": float((gain > 0).mean()), "gain": float(gain.mean()), "p": _p(gain)}
    return found


def _p(gain: np.ndarray) -> float:
    rng = np.random.default_rng(0)
    flips = rng.choice((-1.0, 1.0), (_DRAWS, len(gain))) @ gain / len(gain)
    return float((np.abs(flips) >= abs(gain.mean()) - 1e-12).mean())


def _by_program(samples: Any, document: dict[str, Any], kind: str) -> dict[int, dict[str, float]]:
    from benchmarks.references.calibration import by_fastest
    from tvm_memopt.cost_model.network.metrics import ranking, relative_errors

    found = {}
    for _, entry in _folds(document, kind):
        test, seconds, speed, score = (np.array(entry[name]) for name in ("test", "seconds", "speed", "score"))
        truth, program = samples.seconds[test], samples.program[test]
        calibrated = relative_errors(by_fastest(speed, truth, program), truth)
        plain = relative_errors(seconds, truth)
        for number in np.unique(program):
            part = program == number
            found[int(number)] = {
                "calibrated": float(calibrated[part].mean()),
                "uncalibrated": float(plain[part].mean()),
                "pairwise": ranking(score[part], truth[part])[0],
            }
    return found


def _folds(document: dict[str, Any], kind: str) -> Iterator[tuple[str, Any]]:
    return ((key, entry) for key, entry in document["models"].items() if key.rpartition("/")[0] == kind)


def figures(samples: Any, document: dict[str, Any], kind: str, calibrated: bool, depths: tuple[int, int]) -> Any:
    """Metrics of a model over all its folds, on programs of so many stages; None where there are none."""
    from benchmarks.references.calibration import by_fastest
    from tvm_memopt.cost_model.network.metrics import measure

    parts = [entry for _, entry in _folds(document, kind)]
    columns = [np.concatenate([np.array(e[name]) for e in parts]) for name in ("test", "seconds", "speed", "score")]
    test = columns[0].astype(int)
    stages = np.array(samples.stages)[samples.program[test]]
    wanted = (stages >= depths[0]) & (stages <= depths[1])
    if not wanted.any():
        return None
    test, seconds, speed, score = test[wanted], *(column[wanted] for column in columns[1:])
    truth, program = samples.seconds[test], samples.program[test]
    return measure(by_fastest(speed, truth, program) if calibrated else seconds, score, truth, program)


def render(samples: Any, document: dict[str, Any]) -> str:
    """All tables."""
    kinds = list(dict.fromkeys(key.rpartition("/")[0] for key in document["models"]))
    floor, data = document["data"]["floor"], document["data"]
    lines = [
        f"{data['candidates']:,} candidates of {data['programs']} programs, {data['deep']} of {DEEP} or more stages; "
        f"noise floor: spread of repeats {floor['median_spread']:.2%} in the median, error of one repeat "
        f"{floor['mean_error']:.2%} in the mean, {floor['median_error']:.2%} in the median, pairwise "
        f"{floor['pairwise']:.4f}",
    ]
    if (apart := data.get("machines")) is not None:
        lines.append(
            f"{apart['candidates']} of them on two machines, brought to one scale: the times differ by "
            f"{apart['mean_error']:.2%} in the mean, {apart['median_error']:.2%} in the median, pairwise "
            f"{apart['pairwise']:.4f}"
        )
    for calibrated in (False, True):
        lines += ["", "calibrated by each program's fastest time" if calibrated else "nothing known of the program"]
        lines.append(_table(samples, document, kinds, calibrated, (1, 1000)))
    for depths in DEPTHS:
        if figures(samples, document, kinds[0], False, depths) is not None:
            lines += ["", f"programs of {depths[0]} to {depths[1]} stages, nothing known"]
            lines.append(_table(samples, document, kinds, False, depths))
    lines += ["", "mean error, others / gcn (uncalibrated, calibrated)", *_ratios(samples, document, kinds)]
    lines += ["", "paired over programs, gcn against:", _paired_table(document["paired"])]
    if document["learning_curve"]:
        lines += ["", "learning curve (gcn, nothing known)", _curve_table(document["learning_curve"])]
    if "speed" in document:
        lines += ["", document["speed"]["text"]]
    return "\n".join(lines)


def _table(samples: Any, document: Any, kinds: list[str], calibrated: bool, depths: tuple[int, int]) -> str:
    rows = []
    for kind in kinds:
        found = figures(samples, document, kind, calibrated, depths).document()
        rows.append((kind, *(found[name] for name in COLUMNS)))
    return table(("model", *HEADER), rows)


def _ratios(samples: Any, document: Any, kinds: list[str]) -> list[str]:
    def error(kind: str, calibrated: bool) -> float:
        return float(figures(samples, document, kind, calibrated, (1, 1000)).mean_error)

    if "gcn" not in kinds:
        return []
    return [
        f"{kind}: {error(kind, False) / error('gcn', False):.2f}, {error(kind, True) / error('gcn', True):.2f}"
        for kind in kinds
        if kind != "gcn"
    ]


def _paired_table(found: dict[str, Any]) -> str:
    rows = []
    for kind, entry in found.items():
        cells: list[Any] = [kind, entry["programs"]]
        for column in ("uncalibrated", "calibrated", "pairwise"):
            cells += [f"{entry[column]['better']:.0%}", f"{entry[column]['gain']:+.3f}", f"{entry[column]['p']:.4f}"]
        rows.append(tuple(cells))
    header = ["model", "programs"]
    for column in ("error", "calibrated error", "pairwise"):
        header += [f"{column}: better on", "gain", "p"]
    return table(header, rows)


def _curve_table(curve: dict[str, Any]) -> str:
    rows = [(share, entry["candidates"], *(entry["metrics"][n] for n in COLUMNS)) for share, entry in curve.items()]
    return table(("share of programs", "candidates", *HEADER), rows)
